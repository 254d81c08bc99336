"""Groups: rows that must stay in one split."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
Pairs = NDArray[np.int64]


def group_rows(names: Sequence[Sequence[str | None]], pairs: Pairs) -> Numbers:
    """Group of each row, shape (N,): the lowest row that belongs to it.

    Two rows are in one group if they share a name, are a pair, or are connected by a chain of such rows.

    Args:
        names: lists of N names or None, such as the hashes of the pixels and the names of groups.
        pairs: (P, 2) rows.
    """
    keys = [_numbers_of(each) for each in names]
    groups = np.arange(len(names[0]))
    while True:
        joined = _lowest_of_pairs(groups, pairs)
        for key in keys:
            joined = _lowest(joined, key)
        joined = joined[joined]  # the row that a row names has perhaps learned of a lower one
        if np.array_equal(joined, groups):
            return groups
        groups = joined


def _numbers_of(names: Sequence[str | None]) -> Numbers:
    """A number for each name, and a separate one for each row without a name."""
    numbers: dict[str | int, int] = {}
    keys = [row if name is None else name for row, name in enumerate(names)]
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


def _lowest(groups: Numbers, keys: Numbers) -> Numbers:
    """For each row the lowest group among the rows with its key, shape (N,)."""
    lowest = np.full(len(keys), len(keys))
    np.minimum.at(lowest, keys, groups)
    return lowest[keys]


def _lowest_of_pairs(groups: Numbers, pairs: Pairs) -> Numbers:
    """For each row the lowest of its own group and those of the rows that it is paired with, shape (N,)."""
    lowest = groups.copy()
    lower = groups[pairs].min(axis=1)  # (P,)
    np.minimum.at(lowest, pairs[:, 0], lower)
    np.minimum.at(lowest, pairs[:, 1], lower)
    return lowest
