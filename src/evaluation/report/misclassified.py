"""Test images with a wrong prediction."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from src.evaluation.report.report import Report


@dataclass(frozen=True)
class Misclassified:
    """One wrong prediction."""

    image: NDArray[np.uint8]  # (C, H, W)
    actual: str
    predicted: str
    confidence: float  # in the wrong class, 0…1


def find_mistakes(report: Report) -> NDArray[np.int64]:
    """Indices (m,) of the wrong predictions, the most confident first; ties in row order."""
    wrong = np.flatnonzero(report.predicted != report.targets)
    confidence = report.probabilities[wrong, report.predicted[wrong]]
    return wrong[np.argsort(-confidence, kind="stable")]


def describe_mistakes(
    report: Report, names: Sequence[str], indices: NDArray[np.int64], images: NDArray[np.uint8]
) -> list[Misclassified]:
    """The mistakes at ``indices`` (m,), with their ``images`` (m, C, H, W) and class ``names``."""
    return [
        Misclassified(
            image,
            names[report.targets[index]],
            names[report.predicted[index]],
            float(report.probabilities[index, report.predicted[index]]),
        )
        for index, image in zip(indices, images, strict=True)
    ]
