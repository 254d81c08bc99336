"""Stratified allocation of groups of rows: each part gets its share of each class.

Groups of several rows are allocated first, the largest ahead, each to the part that lacks most of what
the group contains (as in scikit-learn's StratifiedGroupKFold, but for shares of any size). Single rows
then fill the rest. If all groups are single rows, each part has its exact share of each class, rounded
down or up.
"""

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]


def stratified_group_allocation(
    targets: Counts, groups: Counts, quotas: NDArray[np.float64], seed: int
) -> Counts:
    """Part 0 … P-1 of each row, shape (N,).

    Args:
        targets: (N,) class of each row, 0 … K-1.
        groups: (N,) group of each row; a group is never divided.
        quotas: (P, K) wanted rows of each class in each part, may be fractional; each column sums to the
            number of rows of that class.
        seed: the same seed and arguments give the same parts.
    """
    generator = np.random.default_rng(seed)
    parts = np.zeros(len(targets), dtype=np.int64)
    _, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    have = np.zeros(quotas.shape, dtype=np.int64)
    left = groups_per_class(targets, group, quotas.shape[1])
    for rows in _larger_groups(group, sizes, generator):
        present = np.bincount(targets[rows], minlength=quotas.shape[1])
        part = _best_part(present, have, quotas, left)
        parts[rows] = part
        have[part] += present
        left -= present > 0
    single = np.flatnonzero(sizes[group] == 1)
    parts[single] = _allocate_single_rows(targets[single], quotas - have, generator)
    return parts


def groups_per_class(targets: Counts, groups: Counts, classes: int) -> Counts:
    """Number of groups with at least one row of each class, shape (K,)."""
    pairs = np.unique(np.stack([targets, groups]), axis=1)
    return np.bincount(pairs[0], minlength=classes)


def _larger_groups(group: Counts, sizes: Counts, generator: np.random.Generator) -> list[Counts]:
    """Rows of each group with more than one row, the largest group first, equal ones in random order."""
    order = np.argsort(group, kind="stable")
    ends = np.cumsum(sizes)
    shared = generator.permutation(np.flatnonzero(sizes > 1))
    shared = shared[np.argsort(-sizes[shared], kind="stable")]
    return [order[ends[number] - sizes[number] : ends[number]] for number in shared]


def _best_part(present: Counts, have: Counts, quotas: NDArray[np.float64], left: Counts) -> int:
    """The part whose open quotas fit the group best.

    If the remaining groups of a class are just enough to give one to each part that has none, only such
    parts are considered, so that no part misses a class that it could have.
    """
    lacking = (have == 0) & (quotas > 0)  # (P, K)
    urgent = (present > 0) & (left <= lacking.sum(axis=0))  # (K,)
    fit = (quotas - have) @ present  # (P,) largest where the squared distance to the quotas falls most
    if lacking[:, urgent].any():
        fit = np.where(lacking[:, urgent].any(axis=1), fit, -np.inf)
    return int(np.argmax(fit))


def _allocate_single_rows(
    targets: Counts, room: NDArray[np.float64], generator: np.random.Generator
) -> Counts:
    """Part of each single row, shape (n,), filling the ``room`` (P, K) that the larger groups have left."""
    counts = np.bincount(targets, minlength=room.shape[1])
    open_ = np.clip(room, 0, None)
    open_ = np.where(open_.sum(axis=0) > 0, open_, 1)
    numbers = round_columns(open_ * (counts / open_.sum(axis=0)))
    shuffled = generator.permutation(len(targets))
    by_class = shuffled[np.argsort(targets[shuffled], kind="stable")]
    parts = np.empty(len(targets), dtype=np.int64)
    # (K, P) raveled: for class 0 the rows of part 0, then of part 1, …, then class 1
    parts[by_class] = np.repeat(np.tile(np.arange(len(room)), room.shape[1]), numbers.T.ravel())
    return parts


def round_columns(wanted: NDArray[np.float64]) -> Counts:
    """Integers (P, K): each entry rounded down or up, with the column sums unchanged.

    What a part loses by rounding in one class it gets back in a later one, so the row sums stay close to
    the wanted ones too.
    """
    wanted = np.round(wanted, 9)  # 0.15 * 40 would be 6.000000000000001
    numbers = np.floor(wanted).astype(np.int64)
    owed = np.zeros(len(wanted))
    for column in range(wanted.shape[1]):
        fractions = wanted[:, column] - numbers[:, column]
        extra = round(float(fractions.sum()))
        claims = np.where(fractions > 0, fractions + owed, -np.inf)
        numbers[np.argsort(-claims, kind="stable")[:extra], column] += 1
        owed += wanted[:, column] - numbers[:, column]
    return numbers
