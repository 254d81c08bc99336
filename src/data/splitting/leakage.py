"""Leakage: nearly equal images, found by the correlation of their thumbnails."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from src.core.errors import AssayError
from src.core.progress import progress_bar

SIDE = 12  # pixels of a thumbnail
LISTED = 50  # pairs in the report
MOST_PAIRS = 10_000_000  # 160 MB
MARGIN = 1e-5  # above the error of a float32 product
DIGITS = 6  # of a correlation: the printed value is the one that is compared
CHUNK_BYTES = 2**22  # of images in memory at once
BLOCK = 1024  # thumbnails on each side of one product: 4 MiB of correlations, which fit in the cache
Rows = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class NearDuplicate:
    """Two rows in different splits with nearly equal thumbnails."""

    held_out: int
    other: int
    correlation: float


def near_pairs(images: NDArray[np.uint8], threshold: float, show: bool = False) -> Rows:
    """All pairs of nearly equal images, shape (P, 2): the lower row first, in order.

    Near as :func:`near_duplicates` defines it.

    Args:
        images: (N, C, H, W) uint8, may be memory-mapped.
        threshold: correlation from which a pair is near; 0 to 1.
        show: whether to draw progress bars.

    Raises:
        AssayError: there are more than ten million pairs.
    """
    thumbnails, rows = standardized_thumbnails(images, show), np.arange(len(images))
    found, count = [np.zeros((0, 2), dtype=np.int64)], 0
    with threadpool_limits(1, "blas"), progress_bar("Comparing images", len(rows), show) as advance:
        for start in range(0, len(rows), BLOCK):
            block, others = rows[start : start + BLOCK], rows[start:]
            for pairs, done in _pairs_above(thumbnails, block, others, threshold):
                near = pairs[pairs[:, 0] < pairs[:, 1], :2].astype(np.int64)
                found.append(near)
                count += len(near)
                advance(done)
            if count > MOST_PAIRS:
                raise AssayError(
                    f"more than {MOST_PAIRS:,} pairs of images have a correlation of {threshold} or more: "
                    "raise data.near_threshold, or set data.near_duplicates=keep"
                )
    result = np.concatenate(found)
    return result[np.lexsort((result[:, 1], result[:, 0]))]


def near_duplicates(
    images: NDArray[np.uint8], splits: NDArray[np.str_], threshold: float, show: bool = False
) -> tuple[int, list[NearDuplicate]]:
    """Count nearly equal pairs across splits, and return the nearest of them (at most 50).

    Compares test with all others, val with calibration and train, and calibration with train, by the
    correlation of gray thumbnails of at most 12×12 pixels. A constant image has no correlation, so it is near
    to no other. Products are float32; those within their error of the threshold are computed again in
    float64, so that neither the number of threads nor the instruction set matters.

    Args:
        images: (N, C, H, W) uint8, may be memory-mapped.
        splits: (N,) train, val, calibration, test or dropped.
        threshold: correlation from which a pair is near; 0 to 1.
    """
    thumbnails = standardized_thumbnails(images, show)
    order = ("test", "val", "calibration", "train")
    compared = [(name, order[place + 1 :]) for place, name in enumerate(order[:-1])]
    sides = [(np.flatnonzero(splits == a), np.flatnonzero(np.isin(splits, b))) for a, b in compared]
    total = sum(len(rows) for rows, _ in sides)
    count, nearest = 0, np.zeros((0, 3))
    # Small blocks gain little from a second thread, and lose much if another process has the core.
    with threadpool_limits(1, "blas"), progress_bar("Comparing across splits", total, show) as advance:
        for rows, others in sides:
            for pairs, done in _pairs_above(thumbnails, rows, others, threshold):
                count += len(pairs)
                nearest = _nearest(np.concatenate([nearest, pairs]), 4 * LISTED)
                advance(done)
    exact = _correlations(thumbnails, nearest[:, 0].astype(np.int64), nearest[:, 1].astype(np.int64))
    nearest = _nearest(np.column_stack([nearest[:, :2], exact]), LISTED)
    return count, [NearDuplicate(int(row), int(other), float(value)) for row, other, value in nearest]


def standardized_thumbnails(images: NDArray[np.uint8], show: bool = False) -> Floats:
    """Gray thumbnails with mean 0 and length 1, shape (N, at most 144); zeros for constant images."""
    count, channels, height, width = images.shape
    tall, wide = min(height, SIDE), min(width, SIDE)
    tops, lefts = np.arange(tall) * height // tall, np.arange(wide) * width // wide
    areas = np.outer(np.diff([*tops, height]), np.diff([*lefts, width])) * channels  # (tall, wide)
    result = np.empty((count, tall * wide), dtype=np.float32)
    chunk = max(1, CHUNK_BYTES // (channels * height * width))
    with progress_bar("Making thumbnails", count, show) as advance:
        for start in range(0, count, chunk):
            gray = images[start : start + chunk].sum(axis=1, dtype=np.uint32)  # (n, H, W)
            sums = np.add.reduceat(np.add.reduceat(gray, tops, axis=1), lefts, axis=2)
            result[start : start + chunk] = _standardized((sums / areas).reshape(len(gray), -1))
            advance(len(gray))
    return result


def _standardized(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows (n, d) with mean 0 and length 1; zeros where all values are equal."""
    constant = values.min(axis=1) == values.max(axis=1)
    centred = values - values.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(centred, axis=1)
    lengths[constant] = np.inf
    result: NDArray[np.float64] = centred / lengths[:, None]
    return result


def _pairs_above(
    thumbnails: Floats, rows: Rows, others: Rows, threshold: float
) -> Iterator[tuple[NDArray[np.float64], int]]:
    """Yield pairs (n, 3) of row, other row and correlation, and the number of rows done."""
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        held_out = thumbnails[block]
        for first in range(0, len(others), BLOCK):
            other = others[first : first + BLOCK]
            values = held_out @ thumbnails[other].T  # (BLOCK, BLOCK)
            if values.max() >= threshold - MARGIN:  # much faster than nonzero, and rarely true
                i, j = np.nonzero(values >= threshold - MARGIN)
                yield _confirmed(thumbnails, block[i], other[j], values[i, j], threshold), 0
        yield np.zeros((0, 3)), len(block)


def _confirmed(
    thumbnails: Floats, rows: Rows, others: Rows, values: Floats, threshold: float
) -> NDArray[np.float64]:
    """The pairs (n, 3) whose correlation reaches the threshold in float64 too."""
    exact = np.round(values.astype(np.float64), DIGITS)
    uncertain = np.flatnonzero(np.abs(values - threshold) <= 2 * MARGIN)
    exact[uncertain] = _correlations(thumbnails, rows[uncertain], others[uncertain])
    near = exact >= round(threshold, DIGITS)
    return np.column_stack([rows[near], others[near], exact[near]])


def _correlations(thumbnails: Floats, rows: Rows, others: Rows) -> NDArray[np.float64]:
    """Correlation of each pair in float64, rounded; shape (n,)."""
    result = np.empty(len(rows))
    for start in range(0, len(rows), 2**15):  # bounds the memory
        part = slice(start, start + 2**15)
        a, b = thumbnails[rows[part]].astype(np.float64), thumbnails[others[part]].astype(np.float64)
        lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        result[part] = np.round((a * b).sum(axis=1) / lengths, DIGITS)
    return result


def _nearest(pairs: NDArray[np.float64], limit: int) -> NDArray[np.float64]:
    """The pairs with the highest correlation; equal ones in row order."""
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0], -pairs[:, 2]))[:limit]]
