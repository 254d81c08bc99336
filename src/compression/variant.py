"""A compressed model and what is measured of it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from src.compression.export import export_onnx
from src.compression.parity import largest_difference, onnx_logits
from src.models.complexity import count_macs, count_nonzero, count_parameters
from src.models.normalized import NormalizedModel


@dataclass(frozen=True)
class Variant:
    """The figures of ``variant.json``; accuracies are of the validation images."""

    status: str  # ok | failed
    reason: str | None  # of a failure
    steps: list[str]
    validation_accuracy: float
    agreement: float  # share of validation images on which it predicts what the base predicts
    largest_difference: float  # of a logit, against the base
    bytes: int
    parameters: int
    nonzero_parameters: int
    macs: int  # multiply-accumulates for one image

    def figures(self) -> dict[str, float]:
        """The numbers alone, under the names that all variants share."""
        names = ("agreement", "bytes", "parameters", "nonzero_parameters", "macs")
        values = asdict(self)
        return {"val/accuracy": self.validation_accuracy} | {name: float(values[name]) for name in names}


def export_variant(
    model: NormalizedModel,
    base_logits: npt.NDArray[np.float32],
    images: npt.NDArray[np.uint8],
    targets: npt.NDArray[np.int64],
    validation: npt.NDArray[np.bool_],
    steps: Sequence[str],
    tolerance: float,
    threads: int,
    path: Path,
) -> tuple[Variant, npt.NDArray[np.float32]]:
    """Write the ONNX file and measure it.

    Args:
        model: what to export; takes ``images``.
        base_logits: (n, K) of the base model for the same images.
        images: uint8 (n, C, H, W), validation and test.
        targets: (n,) class indices.
        validation: (n,) which images may be looked at to judge the variant.
        tolerance: largest allowed absolute difference of a logit.

    Returns:
        The figures and the variant's own logits (n, K).
    """
    example = torch.from_numpy(np.ascontiguousarray(images[:2]))
    export_onnx(model, example, path)
    logits = onnx_logits(path, images, threads)
    difference = largest_difference(base_logits[validation], logits[validation])
    predicted, expected = logits[validation].argmax(1), base_logits[validation].argmax(1)
    passed = difference <= tolerance
    variant = Variant(
        status="ok" if passed else "failed",
        reason=None
        if passed
        else f"a logit differs by {difference:.3g}, above compress.tolerance={tolerance}",
        steps=list(steps),
        validation_accuracy=float(np.mean(predicted == targets[validation])),
        agreement=float(np.mean(predicted == expected)),
        largest_difference=difference,
        bytes=path.stat().st_size,
        parameters=count_parameters(model),
        nonzero_parameters=count_nonzero(model),
        macs=count_macs(model, example[:1]),
    )
    return variant, logits
