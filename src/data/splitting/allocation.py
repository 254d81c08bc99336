"""Allocation: whole units of rows, dealt out so that each part gets its share of each class.

Units of several rows go first, the largest ahead, each to the part that misses most of what the
unit holds (as in scikit-learn's StratifiedGroupKFold, but for shares of any size). Single rows
then fill what is still open, so where all units are single rows every part has, of every class,
its exact share rounded down or up.
"""

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]


def stratified_group_allocation(
    targets: Counts, units: Counts, quotas: NDArray[np.float64], seed: int
) -> Counts:
    """Part 0 … P-1 of each row, shape (N,).

    Args:
        targets: (N,) class of each row, 0 … K-1.
        units: (N,) unit of each row; a unit is never divided.
        quotas: (P, K) wanted rows of each class in each part; may be fractions; each column adds
            up to the rows of that class.
        seed: the same seed and arguments give the same parts.
    """
    generator = np.random.default_rng(seed)
    parts = np.zeros(len(targets), dtype=np.int64)
    _, unit, sizes = np.unique(units, return_inverse=True, return_counts=True)
    have = np.zeros(quotas.shape, dtype=np.int64)
    left = units_of_classes(targets, unit, quotas.shape[1])
    for rows in _shared_units(unit, sizes, generator):
        present = np.bincount(targets[rows], minlength=quotas.shape[1])
        part = _best_part(present, have, quotas, left)
        parts[rows] = part
        have[part] += present
        left -= present > 0
    single = np.flatnonzero(sizes[unit] == 1)
    parts[single] = _allocate_single_rows(targets[single], quotas - have, generator)
    return parts


def units_of_classes(targets: Counts, units: Counts, classes: int) -> Counts:
    """How many units hold at least one row of each class, shape (K,)."""
    pairs = np.unique(np.stack([targets, units]), axis=1)
    return np.bincount(pairs[0], minlength=classes)


def _shared_units(unit: Counts, sizes: Counts, generator: np.random.Generator) -> list[Counts]:
    """Rows of every unit with more than one row, the largest unit first, equal ones in random order."""
    order = np.argsort(unit, kind="stable")
    ends = np.cumsum(sizes)
    shared = generator.permutation(np.flatnonzero(sizes > 1))
    shared = shared[np.argsort(-sizes[shared], kind="stable")]
    return [order[ends[number] - sizes[number] : ends[number]] for number in shared]


def _best_part(present: Counts, have: Counts, quotas: NDArray[np.float64], left: Counts) -> int:
    """The part whose open quotas fit the unit best.

    Where the units left of a class are just enough to give one to each part without any, only such
    a part is considered, so that no part stays without a class that could have it.
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
    """Part of each single row, shape (n,), filling the ``room`` (P, K) that the units have left."""
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
    """Whole numbers (P, K): each entry rounded down or up, the sums of the columns kept.

    What rounding takes from a part in one class it gets back in a later one, so the sums of the
    rows stay close to the wanted ones too.
    """
    wanted = np.round(wanted, 9)  # 0.15 * 40 is 6.000000000000001 no longer
    numbers = np.floor(wanted).astype(np.int64)
    owed = np.zeros(len(wanted))
    for column in range(wanted.shape[1]):
        fractions = wanted[:, column] - numbers[:, column]
        extra = round(float(fractions.sum()))
        claims = np.where(fractions > 0, fractions + owed, -np.inf)
        numbers[np.argsort(-claims, kind="stable")[:extra], column] += 1
        owed += wanted[:, column] - numbers[:, column]
    return numbers
