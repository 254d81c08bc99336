"""Models as functions from images to logits. All ONNX Runtime sessions have the same options."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]  # (B, C, H, W)
Predictor = Callable[[Images], NDArray[np.float32]]  # logits (B, K)


def onnx_session(model: Path | bytes, threads: int) -> Any:
    """A session on the CPU for a file or its content, with all optimizations and ``threads`` per operator."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads spin while a call runs, but not after it: that would slow down whatever runs next.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def portable_session(model: Path | bytes, threads: int) -> Any:
    """A session for results that are tracked: slower, and equal on CPUs of different makers.

    Without the last level of optimizations, whose float kernels sum in the order of a CPU's vectors, and with
    int8 products that cannot overflow on CPUs without VNNI.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.x64quantprecision", "1")
    content = model if isinstance(model, bytes) else model.read_bytes()
    return onnxruntime.InferenceSession(_unshared(content), options, providers=["CPUExecutionProvider"])


def _unshared(content: bytes) -> bytes:
    """The model with int8 constants of its own for each node.

    With x64quantprecision ONNX Runtime (1.31) makes them unsigned node by node, and fails at the second node
    that shares one.
    """
    import onnx

    model = onnx.load_from_string(content)
    constants = {
        each.name: each for each in model.graph.initializer if each.data_type == onnx.TensorProto.INT8
    }
    used: set[str] = set()
    for place, node in enumerate(model.graph.node):
        for index, name in enumerate(node.input):
            if name in constants and name in used:
                model.graph.initializer.add().CopyFrom(constants[name])
                model.graph.initializer[-1].name = node.input[index] = f"{name}_of_{place}_{index}"
            used.add(name)
    return bytes(model.SerializeToString())


def load_onnx(path: Path, threads: int) -> Predictor:
    """Load an ONNX file that takes uint8 images."""
    session = onnx_session(path, threads)
    name = session.get_inputs()[0].name
    return lambda images: session.run(None, {name: images})[0]


def torch_model(folder: Path) -> Predictor:
    """Load a folder of src.models.saving in PyTorch's eager mode, fp32, channels-last.

    The number of threads is that of the process: ``torch.set_num_threads``.
    """
    import torch

    from src.models.normalization import NormalizedModel
    from src.models.saving import load_model

    network, spec = load_model(folder)
    model = NormalizedModel(
        network, spec.normalization.shift, spec.normalization.scale, spec.temperature
    ).eval()
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def predict(images: Images) -> NDArray[np.float32]:
        batch = torch.from_numpy(images).contiguous(memory_format=torch.channels_last)
        logits: NDArray[np.float32] = model(batch).numpy()
        return logits

    return predict
