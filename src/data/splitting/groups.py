"""Groups: rows that must stay in one split."""

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]


def group_rows(digests: NDArray[np.str_], names: list[str | None]) -> Numbers:
    """Group of each row, shape (N,): the lowest row that belongs to it.

    Two rows are in one group if their pixels or their group names are equal, or if a chain of such rows
    connects them. A row without a name (None) is alone unless its pixels have a copy.

    Args:
        digests: (N,) SHA-256 of the pixels of each row.
        names: N names of groups, or None.
    """
    _, by_pixels = np.unique(digests, return_inverse=True)
    by_name = _numbers_of(names)
    groups = np.arange(len(digests))
    while True:
        joined = _lowest(_lowest(groups, by_pixels), by_name)
        if np.array_equal(joined, groups):
            return groups
        groups = joined


def _numbers_of(names: list[str | None]) -> Numbers:
    """A number for each name, and a separate one for each row without a name."""
    numbers: dict[str | int, int] = {}
    keys = [row if name is None else name for row, name in enumerate(names)]
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


def _lowest(groups: Numbers, keys: Numbers) -> Numbers:
    """For each row the lowest group among the rows with its key, shape (N,)."""
    lowest = np.full(len(keys), len(keys))
    np.minimum.at(lowest, keys, groups)
    return lowest[keys]
