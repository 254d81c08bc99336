"""Units: rows that belong together, so that no border may run through them."""

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]


def group_rows(digests: NDArray[np.str_], groups: list[str | None]) -> Numbers:
    """Unit of each row, shape (N,): the lowest row that belongs to it.

    Two rows share a unit if their pixels or their group are equal, or if a chain of such rows
    joins them. A row without a group (None) stands alone unless its pixels have a copy.

    Args:
        digests: (N,) SHA-256 of the pixels of each row.
        groups: N names of groups, or None.
    """
    _, by_pixels = np.unique(digests, return_inverse=True)
    by_group = _group_numbers(groups)
    units = np.arange(len(digests))
    while True:
        joined = _lowest(_lowest(units, by_pixels), by_group)
        if np.array_equal(joined, units):
            return units
        units = joined


def _group_numbers(groups: list[str | None]) -> Numbers:
    """One number for each group, and one of its own for each row without a group."""
    numbers: dict[str | int, int] = {}
    keys = [row if group is None else group for row, group in enumerate(groups)]
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


def _lowest(units: Numbers, keys: Numbers) -> Numbers:
    """For each row the lowest unit among the rows with its key, shape (N,)."""
    lowest = np.full(len(keys), len(keys))
    np.minimum.at(lowest, keys, units)
    return lowest[keys]
