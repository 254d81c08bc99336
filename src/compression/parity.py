"""Does the ONNX model say what the model says that it was made from?"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from src.compression.artifacts import OnnxModel, TorchModel
from src.compression.onnx.runtime import onnx_session
from src.models.inference import predict_logits

Logits = NDArray[np.float32]
ROUNDING = "QuantizeLinear", "DynamicQuantizeLinear"


@dataclass(frozen=True)
class Parity:
    """How far a model says what its source says, on the same images."""

    largest_difference: float  # of a logit
    agreement: float  # share of equal predictions
    reason: str | None  # why it is not enough; None: it is


def check_parity(
    model: OnnxModel,
    images: NDArray[np.uint8],
    logits: Logits,
    tolerance: float,
    agreement: float,
    threads: int,
) -> Parity:
    """Compare the model with what it was made from: float by its logits, int8 by its predictions.

    That is the float ONNX model for a quantize step after the export, else the torch network.

    Args:
        model: what to check.
        images: validation images (n, C, H, W).
        logits: (n, K) of ``model`` for them.
        tolerance: largest allowed difference of a logit, where nothing is rounded.
        agreement: least share of equal predictions, where something is.
        threads: of ONNX Runtime.
    """
    expected = _source_logits(model, images, threads)
    difference = largest_difference(expected, logits)
    equal = float(np.mean(expected.argmax(1) == logits.argmax(1)))
    if is_rounded(model.content):
        return Parity(difference, equal, _disagreement(equal, agreement))
    # A logit that is no number is no agreement either.
    fine = difference <= tolerance
    reason = f"a logit differs by {difference:.3g}, above compress.tolerance={tolerance:g}"
    return Parity(difference, equal, None if fine else reason)


def is_rounded(content: bytes) -> bool:
    """True when some values of the model are int8."""
    return any(node.op_type in ROUNDING for node in onnx.load_from_string(content).graph.node)


def onnx_logits(
    model: Path | bytes, images: NDArray[np.uint8], threads: int, batch_size: int = 256
) -> Logits:
    """Logits (n, K) of images (n, C, H, W) by ONNX Runtime on the CPU; of a file or its content."""
    session = onnx_session(model, threads)
    name = session.get_inputs()[0].name
    batches = [
        session.run(None, {name: images[start : start + batch_size]})[0]
        for start in range(0, len(images), batch_size)
    ]
    return np.concatenate(batches).astype(np.float32)


def torch_logits(model: TorchModel, images: NDArray[np.uint8]) -> Logits:
    """Logits (n, K) of images (n, C, H, W) by the torch network on the CPU."""
    return predict_logits(model.network, model.spec, images, np.arange(len(images)), device="cpu")


def largest_difference(one: Logits, other: Logits) -> float:
    """Largest absolute difference of two arrays of the same shape."""
    return float(np.abs(one - other).max())


def _source_logits(model: OnnxModel, images: NDArray[np.uint8], threads: int) -> Logits:
    if model.float_content is not None:
        return onnx_logits(model.float_content, images, threads)
    return torch_logits(model.source, images)


def _disagreement(equal: float, agreement: float) -> str | None:
    if equal >= agreement:
        return None
    return f"predictions agree on {equal:.4f} of the images, below compress.agreement={agreement:g}"
