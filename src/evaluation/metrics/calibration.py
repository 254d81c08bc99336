"""Whether a confidence of 0.9 means being right nine times in ten.

The confidence of a row is its highest probability. Bins have equal width over 0…1 and contain their
lower edge; the last one also contains 1. torchmetrics puts a confidence that float32 rounds to 1 into a bin
of its own, so its result can differ for very confident models.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Reliability:
    """The contents of the bins, each array (bins,); the means of an empty bin are NaN."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    images: NDArray[np.int64]
    confidence: NDArray[np.float64]  # mean over the bin's rows
    accuracy: NDArray[np.float64]  # share of the bin's rows that are correct


def bin_index(confidences: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    """The bin of each confidence, 0 to ``bins`` - 1. (n,) -> (n,)."""
    edges = np.linspace(0, 1, bins + 1)
    return np.clip(np.searchsorted(edges, confidences, side="right") - 1, 0, bins - 1)


def reliability(probabilities: NDArray[np.float64], targets: NDArray[np.int64], bins: int) -> Reliability:
    """The numbers of the reliability diagram. ``probabilities``: (n, K), ``targets``: (n,)."""
    confidence = probabilities.max(axis=1)
    right = (probabilities.argmax(axis=1) == targets).astype(np.float64)
    place = bin_index(confidence, bins)
    images = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):  # 0 / 0 is the NaN of an empty bin
        mean_confidence = np.bincount(place, confidence, bins) / images
        accuracy = np.bincount(place, right, bins) / images
    edges = np.linspace(0, 1, bins + 1)
    return Reliability(edges[:-1], edges[1:], images, mean_confidence, accuracy)


def calibration_error(probabilities: NDArray[np.float64], targets: NDArray[np.int64], bins: int) -> float:
    """Expected calibration error: mean distance between accuracy and confidence, weighted by images."""
    table = reliability(probabilities, targets, bins)
    distance = np.nan_to_num(np.abs(table.accuracy - table.confidence))
    return float((distance * table.images).sum() / table.images.sum())
