"""A small int8 model without a training, to try kernels with."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

Floats = NDArray[np.float64]


def int8_sample(convolution: Floats, head: Floats) -> bytes:
    """An ONNX file: an int8 convolution between rounded values, a mean, and a float product.

    It takes float images ``x`` (B, C, H, W) and gives ``y`` (B, K).

    Args:
        convolution: (O, C, 3, 3) in 0…1.
        head: (O, K) in 0…1.
    """
    constants: dict[str, NDArray[Any]] = {
        "scale": np.array(0.01, np.float32),
        "zero": np.array(128, np.uint8),
        "weights": (convolution * 254 - 127).astype(np.int8),
        "weights.scale": np.array(0.005, np.float32),
        "weights.zero": np.array(0, np.int8),
        "head": (head - 0.5).astype(np.float32),
    }
    nodes = [
        *_rounded("x"),
        helper.make_node("DequantizeLinear", ["weights", "weights.scale", "weights.zero"], ["w"]),
        helper.make_node("Conv", ["x.float", "w"], ["maps"]),
        *_rounded("maps"),
        helper.make_node("GlobalAveragePool", ["maps.float"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "head"], ["y"]),
    ]
    size = ["batch", convolution.shape[1], "height", "width"]
    graph = helper.make_graph(
        nodes,
        "int8",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, size)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", head.shape[1]])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _rounded(value: str) -> list[NodeProto]:
    return [
        helper.make_node("QuantizeLinear", [value, "scale", "zero"], [f"{value}.int8"]),
        helper.make_node("DequantizeLinear", [f"{value}.int8", "scale", "zero"], [f"{value}.float"]),
    ]
