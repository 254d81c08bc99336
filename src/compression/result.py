"""What is measured of a compressed model: the figures of ``variant.json``."""

import gzip
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from src.compression.artifacts import OnnxModel, TorchModel
from src.compression.parity import Parity
from src.models.size import Size, count_macs, count_nonzero, count_parameters


@dataclass(frozen=True)
class VariantResult:
    """All but the status and the steps is None for a variant that failed."""

    status: str  # ok | failed
    reason: str | None  # of a failure
    steps: list[str]
    validation_accuracy: float | None = None
    agreement: float | None = None  # share of validation images on which it predicts what the base predicts
    largest_difference: float | None = None  # of a logit, ONNX against the model that it was made from
    bytes: int | None = None  # of model.onnx
    gzip_bytes: int | None = None
    parameters: int | None = None
    nonzero_parameters: int | None = None
    sparsity: float | None = None  # share of parameters that are zero
    macs: int | None = None  # multiply-accumulates for one image

    def metrics(self) -> dict[str, float]:
        """The numbers alone, under the names that all variants share."""
        names = (
            *("agreement", "bytes", "gzip_bytes", "parameters", "nonzero_parameters"),
            *("sparsity", "macs"),
        )
        values = {"val/accuracy": self.validation_accuracy} | {name: asdict(self)[name] for name in names}
        return {name: float(value) for name, value in values.items() if value is not None}


def failed(steps: Sequence[str], reason: str) -> VariantResult:
    """A result with a reason."""
    return VariantResult("failed", reason, list(steps))


def measure(
    steps: Sequence[str],
    model: OnnxModel,
    parity: Parity,
    logits: NDArray[np.float32],
    base_logits: NDArray[np.float32],
    targets: NDArray[np.int64],
) -> VariantResult:
    """The figures of a model, judged by the validation images.

    Args:
        steps: names of the steps that made it.
        parity: how far it says what it was made from says; a mismatch fails the variant.
        logits: (n, K) of the model for the validation images.
        base_logits: (n, K) of the base model for the same images.
        targets: (n,) class indices.
    """
    if parity.reason is not None:
        return failed(steps, parity.reason)
    size, predicted = measure_size(model.source), logits.argmax(1)
    return VariantResult(
        status="ok",
        reason=None,
        steps=list(steps),
        validation_accuracy=float(np.mean(predicted == targets)),
        agreement=float(np.mean(predicted == base_logits.argmax(1))),
        largest_difference=parity.largest_difference,
        bytes=len(model.content),
        gzip_bytes=len(gzip.compress(model.content, compresslevel=9, mtime=0)),
        parameters=size.parameters,
        nonzero_parameters=size.nonzero,
        sparsity=1 - size.nonzero / size.parameters,
        macs=size.macs,
    )


def measure_size(model: TorchModel) -> Size:
    """Of the network, or what was counted before it became int8."""
    if model.size is not None:
        return model.size
    form = model.spec.input
    example = torch.zeros(1, form.channels, form.height, form.width)
    network = model.network
    return Size(count_parameters(network), count_nonzero(network), count_macs(network, example))
