"""Compares an ONNX model with its source."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from src.compression.artifacts import OnnxModel, TorchModel
from src.compression.feature_models import jumps
from src.compression.onnx.runtime import onnx_session
from src.models.inference import predict_logits

Logits = NDArray[np.float32]
QUANTIZERS = "QuantizeLinear", "DynamicQuantizeLinear"


@dataclass(frozen=True)
class Parity:
    """How well a model agrees with its source on the same images."""

    largest_difference: float  # of a logit
    agreement: float  # share of equal predictions
    reason: str | None  # why that is not good enough; None: it is


def check_parity(
    model: OnnxModel, logits: Logits, expected: Logits, tolerance: float, agreement: float
) -> Parity:
    """Compare the logits of a float model with those of its source.

    Of int8 models and of nearest neighbors, where a rounding error can count a whole vote, the predictions.

    Args:
        model: the model to check.
        logits: (n, K) of ``model`` for validation images.
        expected: (n, K) of the torch network that was exported, for the same images.
        tolerance: largest allowed difference of a logit, for a float model.
        agreement: smallest allowed share of equal predictions, for the others.
    """
    difference = largest_difference(expected, logits)
    equal = float(np.mean(expected.argmax(1) == logits.argmax(1)))
    if is_int8(model.content) or jumps(model.source.network):
        return Parity(difference, equal, _disagreement(equal, agreement))
    if difference <= tolerance:  # false for NaN
        return Parity(difference, equal, None)
    reason = f"a logit differs by {difference:.3g}, more than compress.tolerance={tolerance:g}"
    return Parity(difference, equal, reason)


def is_int8(content: bytes) -> bool:
    """Whether some values of the model are int8."""
    return any(node.op_type in QUANTIZERS for node in onnx.load_from_string(content).graph.node)


def onnx_logits(
    model: Path | bytes, images: NDArray[np.uint8], threads: int, batch_size: int = 256
) -> Logits:
    """Logits (n, K) of images (n, C, H, W), from ONNX Runtime on the CPU.

    Args:
        model: a file, or its content.
        images: uint8.
        threads: for ONNX Runtime.
        batch_size: images at a time.
    """
    session = onnx_session(model, threads, portable=True)
    name = session.get_inputs()[0].name
    batches = [
        session.run(None, {name: images[start : start + batch_size]})[0]
        for start in range(0, len(images), batch_size)
    ]
    return np.concatenate(batches).astype(np.float32)


def torch_logits(model: TorchModel, images: NDArray[np.uint8]) -> Logits:
    """Logits (n, K) of images (n, C, H, W), from the torch network on the CPU."""
    return predict_logits(model.network, model.spec, images, np.arange(len(images)), device="cpu")


def largest_difference(one: Logits, other: Logits) -> float:
    """Largest absolute difference of two arrays of the same shape."""
    return float(np.abs(one - other).max())


def _disagreement(equal: float, agreement: float) -> str | None:
    if equal >= agreement:
        return None
    return f"predictions agree on {equal:.4f} of the images, less than compress.agreement={agreement:g}"
