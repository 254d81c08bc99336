"""Statistics of the pixels, and the normalization of the input that follows from them."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from src.core.errors import AssayError
from src.core.progress import progress_bar

CHUNK_BYTES = 2**22  # of images in memory at once; bincount needs eight times that
LEVELS = np.arange(256, dtype=np.int64)
Floats = NDArray[np.float64]
Method = Literal["standard", "minmax", "none", "pretrained"]


@dataclass(frozen=True)
class Statistics:
    """Statistics of each channel, of pixels in 0…1. Arrays have shape (C,)."""

    images: int
    mean: Floats
    std: Floats  # of the population
    min: Floats
    max: Floats


def channel_statistics(images: NDArray[np.uint8], rows: NDArray[np.int64], show: bool = False) -> Statistics:
    """Compute exact statistics of the chosen rows, from a histogram of the 256 levels of each channel.

    Args:
        images: (N, C, H, W) uint8, may be memory-mapped; only the chosen rows are read.
        rows: (n,) indices of the images to use.

    Raises:
        AssayError: ``rows`` is empty.
    """
    if not len(rows):
        raise AssayError("No image is in the training split: see the counts in data/split/report.json")
    histogram = channel_histogram(images, rows, show)
    pixels = histogram.sum(axis=1)  # (C,)
    sums, squares = histogram @ LEVELS, histogram @ LEVELS**2  # exact, as integers
    # n * sum(x²) - sum(x)² in Python's integers: no rounding before the root
    spread = [n * int(q) - int(s) ** 2 for n, s, q in zip(pixels.tolist(), sums, squares, strict=True)]
    seen = histogram > 0
    return Statistics(
        images=len(rows),
        mean=sums / pixels / 255,
        std=np.array([value**0.5 for value in spread]) / pixels / 255,
        min=seen.argmax(axis=1) / 255,
        max=(255 - seen[:, ::-1].argmax(axis=1)) / 255,
    )


def channel_histogram(
    images: NDArray[np.uint8], rows: NDArray[np.int64], show: bool = False
) -> NDArray[np.int64]:
    """Count each level in each channel of the chosen rows, shape (C, 256)."""
    channels = images.shape[1]
    chunk = max(1, CHUNK_BYTES // int(np.prod(images.shape[1:])))
    histogram = np.zeros((channels, 256), dtype=np.int64)
    with progress_bar("Reading training pixels", len(rows), show) as advance:
        for start in range(0, len(rows), chunk):
            part = images[rows[start : start + chunk]]  # (n, C, H, W)
            for channel in range(channels):
                histogram[channel] += np.bincount(part[:, channel].ravel(), minlength=256)
            advance(len(part))
    return histogram


def normalization_from(
    statistics: Statistics, method: Method, known: tuple[Floats, Floats] | None = None
) -> tuple[Floats, Floats, list[str]]:
    """Shift and scale, (C,) each, for x' = (x - shift) / scale with x in 0…1; and notes.

    ``known`` are those of ``pretrained``.

    A constant channel gets scale 1 and a note, because dividing by zero would ruin the training.
    """
    if method == "pretrained":
        assert known is not None
        return *known, []
    if method == "none":
        return np.zeros_like(statistics.mean), np.ones_like(statistics.mean), []
    shift = statistics.mean if method == "standard" else statistics.min
    scale = statistics.std if method == "standard" else statistics.max - statistics.min
    notes = [
        f"channel {channel} has the same value in all training pixels: its scale is 1"
        for channel in np.flatnonzero(scale == 0).tolist()
    ]
    return shift, np.where(scale == 0, 1.0, scale), notes


def normalization(
    statistics: Statistics, method: Method, known: tuple[Floats, Floats] | None = None
) -> dict[str, Any]:
    """The content of ``normalization.json``; lists have one value for each channel."""
    shift, scale, notes = normalization_from(statistics, method, known)
    return {
        "method": method,
        "images": statistics.images,
        **{name: getattr(statistics, name).tolist() for name in ("mean", "std", "min", "max")},
        "shift": shift.tolist(),
        "scale": scale.tolist(),
        "notes": notes,
    }
