"""Converts images to the memory layout of ONNX Runtime's int8 kernels, once."""

import numpy as np
import onnx
from onnx import NodeProto, helper

from src.compression.onnx.graph_rewrite import MONOTONE, Graph

POINTWISE = {*MONOTONE, "BatchNormalization"}
CHANNELS_LAST, CHANNELS_FIRST = [0, 2, 3, 1], [0, 3, 1, 2]


def keep_channels_last(model: onnx.ModelProto) -> None:
    """Convert pooled float images to channels-last before they are rounded, in place. Values do not change.

    Float kernels of ONNX Runtime 1.31 use channels-first, its int8 convolutions channels-last, and a sum has
    the layout of its first term. Without this, it transposes before, in and after the first residual block,
    on one thread. After a pooling the conversion needs no extra pass. (Elsewhere it does: behind the
    float convolutions in timm's networks, which are not pooled, it cost up to a third of the speed.)
    """
    graph = Graph(model)
    roundings = [node for node in graph.nodes if node.op_type == "QuantizeLinear"]
    if not roundings:
        return
    shapes = _shapes(model)
    for rounding in roundings:
        shape = shapes.get(rounding.input[0], [])
        if len(shape) == 4 and shape[2] and _is_pooled_float(graph, rounding):
            _insert_transpose(graph, rounding, shape[2])
    graph.write(model)


def _shapes(model: onnx.ModelProto) -> dict[str, list[int]]:
    """{value: length of each axis}, 0 if it is dynamic."""
    values = onnx.shape_inference.infer_shapes(model).graph.value_info
    return {each.name: [axis.dim_value for axis in each.type.tensor_type.shape.dim] for each in values}


def _is_pooled_float(graph: Graph, rounding: NodeProto) -> bool:
    """Whether it follows a float convolution and its pooling, with only pointwise operators between."""
    kinds, node = set(), graph.producer(rounding.input[0])
    while node is not None and node.op_type in POINTWISE | {"MaxPool"}:
        kinds.add(node.op_type)
        node = graph.producer(node.input[0])
    is_float = node is not None and node.op_type == "Conv" and node.input[1] in graph.constants
    return is_float and "MaxPool" in kinds


def _insert_transpose(graph: Graph, rounding: NodeProto, rows: int) -> None:
    """Insert a transposition and its inverse. A Gather of all rows between them prevents their removal."""
    value = rounding.input[0]
    last, same, first, every = (f"{value}.{part}" for part in ("last", "same", "first", "rows"))
    graph.constants[every] = np.arange(rows)
    rounding.input[0] = first
    graph.replace(
        rounding,
        [
            helper.make_node("Transpose", [value], [last], last, perm=CHANNELS_LAST),
            helper.make_node("Gather", [last, every], [same], same, axis=1),
            helper.make_node("Transpose", [same], [first], first, perm=CHANNELS_FIRST),
            rounding,
        ],
    )
