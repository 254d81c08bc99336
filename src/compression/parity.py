"""Does the exported file say what the network says?"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime


def onnx_logits(
    path: Path, images: npt.NDArray[np.uint8], threads: int, batch_size: int = 256
) -> npt.NDArray[np.float32]:
    """Logits (n, K) of images (n, C, H, W) by ONNX Runtime on the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    batches = [
        session.run(None, {name: images[start : start + batch_size]})[0]
        for start in range(0, len(images), batch_size)
    ]
    return np.concatenate(batches).astype(np.float32)


def largest_difference(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    """Largest absolute difference of two arrays of the same shape."""
    return float(np.abs(one - other).max())
