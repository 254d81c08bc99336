"""Test images that were taken for something else."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from src.evaluation.report.report import Report


@dataclass(frozen=True)
class Misclassified:
    """One of them."""

    image: NDArray[np.uint8]  # (C, H, W)
    actual: str
    predicted: str
    confidence: float  # in the wrong class, 0…1


def find_mistakes(report: Report) -> NDArray[np.int64]:
    """Places of the wrong predictions, the most confident first; of equal ones the first row's. (m,)."""
    wrong = np.flatnonzero(report.predicted != report.targets)
    confidence = report.probabilities[wrong, report.predicted[wrong]]
    return wrong[np.argsort(-confidence, kind="stable")]


def show_mistakes(
    report: Report, names: Sequence[str], places: NDArray[np.int64], images: NDArray[np.uint8]
) -> list[Misclassified]:
    """The mistakes at ``places`` (m,), with their ``images`` (m, C, H, W) and the classes' ``names``."""
    return [
        Misclassified(
            image,
            names[report.targets[place]],
            names[report.predicted[place]],
            float(report.probabilities[place, report.predicted[place]]),
        )
        for place, image in zip(places, images, strict=True)
    ]
