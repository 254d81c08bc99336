"""Units: rows that belong together, so that no border may run through them."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


def independent_units(digests: NDArray[np.str_], groups: list[str | None]) -> NDArray[np.int64]:
    """Number of the unit of each row, shape (N,).

    Two rows share a unit if their pixels or their group are equal, or if a chain of such rows
    joins them. A row without a group (None) stands alone unless its pixels have a copy.

    Args:
        digests: (N,) SHA-256 of the pixels of each row.
        groups: N names of groups, or None.
    """
    rows = len(digests)
    if not rows:
        return np.zeros(0, dtype=np.int64)
    _, keys = np.unique(digests, return_inverse=True)
    named = np.array([row for row, group in enumerate(groups) if group is not None], dtype=np.int64)
    names = np.array([group for group in groups if group is not None], dtype=np.str_)
    _, group_keys = np.unique(names, return_inverse=True)
    # A graph of rows, pixels and groups: 0 … N-1 are rows, then come the pixels, then the groups.
    starts = np.concatenate([np.arange(rows), named])
    ends = rows + np.concatenate([keys, keys.max() + 1 + group_keys])
    nodes = int(ends.max()) + 1
    graph = coo_array((np.ones(len(starts), dtype=np.int8), (starts, ends)), shape=(nodes, nodes))
    _, labels = connected_components(graph, directed=False)
    return labels[:rows].astype(np.int64)
