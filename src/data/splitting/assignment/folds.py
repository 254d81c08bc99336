"""Folds, and the part of the training rows that is held out to choose the epoch."""

import numpy as np
from numpy.typing import NDArray

from src.core.errors import AssayError
from src.core.seeds import derive_seed
from src.core.wording import counted
from src.data.dataset.index import DatasetIndex
from src.data.splitting.assignment.allocation import groups_per_class, stratified_group_allocation
from src.data.splitting.assignment.conflicts import leave_out
from src.data.splitting.assignment.faults import Fault, refuse
from src.data.splitting.assignment.rule import (
    Numbers,
    SplitRule,
    groups_of,
    order_of,
    shared_names,
    too_few_groups,
)
from src.data.splitting.assignment.stable import place_units, unit_names

HALF = 0.5 - 1e-9  # of an image; from here a share is rounded up to one image


def fold_rows(
    rows: DatasetIndex, splits: NDArray[np.str_], folds: int, seed: int, rule: SplitRule
) -> Numbers:
    """Assign each row of train and val to a fold 0 … folds-1, shape (N,); -1 for test and dropped rows.

    With ``stratified``, each fold has its share of each class. With ``stable``, a near copy of an image in
    another fold is in none (-1). Equal images and groups are never divided.

    Raises:
        AssayError: a class has too few images or groups, or there are more folds than groups.
    """
    numbers, faults = number_folds(rows, splits, folds, seed, rule)
    refuse([fault for fault in faults if fault.target is None or rule.rare == "refuse"])
    return numbers


def hold_out(
    rows: DatasetIndex, pool: Numbers, share: float, seed: int, rule: SplitRule
) -> tuple[Numbers, Numbers]:
    """Hold out ``share`` of the pool: the rows that train, and the rows that are held out.

    Equal images and groups are never divided. ``stratified`` takes its share of each class; the held-out part
    may miss a class whose share is less than half an image. Either way it misses a class that would
    otherwise be missing from training. With ``stable``, near copies on two sides are in neither.

    Args:
        rows: all images.
        pool: (n,) rows to draw from.
        share: of the pool, above 0 and below 1.
        seed: same seed, same rows.
        rule: the method.

    Raises:
        AssayError: nothing is held out, or nothing is left.
    """
    draw = _hold_out_stable if rule.method == "stable" else _hold_out_stratified
    parts = draw(rows, pool, share, seed, rule)
    train, held = pool[parts == 1], pool[parts == 0]
    if not len(train) or not len(held):
        groups = counted(len(np.unique(groups_of(rows, pool, rule))), "independent group")
        raise AssayError(
            f"{counted(len(pool), 'image')} in {groups} cannot be divided with a share of {share}: "
            "add images or change the share"
        )
    return train, held


def number_folds(
    rows: DatasetIndex, splits: NDArray[np.str_], folds: int, seed: int, rule: SplitRule
) -> tuple[Numbers, list[Fault]]:
    """The fold of each row, (N,), and what is wrong with it."""
    pool = np.flatnonzero(np.isin(splits, ("train", "val")))
    numbers = np.full(len(rows), -1, dtype=np.int64)
    if not len(pool):
        return numbers, [Fault(f"no image is left for split.folds={folds}", "add images")]
    if rule.method == "stable":
        units = unit_names(rows)
        shares = [1 / folds] * (folds - 1)
        numbers[pool] = place_units([units[row] for row in pool.tolist()], shares, seed, "folds")
        left = leave_out(numbers, order_of(rows, rule.near), shared_names(rows), rule.near)
        numbers[[row.dropped for row in left]] = -1
        return numbers, _thin_folds(rows, numbers, folds)
    groups = groups_of(rows, pool, rule)
    counts = np.bincount(rows.targets[pool], minlength=len(rows.classes))
    quotas = np.tile(counts / folds, (folds, 1))  # (folds, K)
    numbers[pool] = stratified_group_allocation(
        rows.targets[pool], groups, quotas, derive_seed(seed, "folds")
    )
    spared = frozenset(np.flatnonzero(counts == 0).tolist())
    who = f"split.folds={folds}"
    return numbers, too_few_groups(rows, pool, groups, folds, who, "folds", spared)


def _thin_folds(rows: DatasetIndex, numbers: Numbers, folds: int) -> list[Fault]:
    """Every fold needs images, and every class two folds: else one is trained without it."""
    sizes = np.bincount(numbers[numbers >= 0], minlength=folds)
    empty = np.flatnonzero(sizes == 0).tolist()
    faults = [
        Fault(f"fold {fold} of split.folds={folds} is empty", "use fewer folds (split.folds)")
        for fold in empty
    ]
    for target, name in enumerate(rows.classes):
        found = np.unique(numbers[(rows.targets == target) & (numbers >= 0)])
        if len(found) == 1:
            text = (
                f"class {name!r} is only in fold {found[0]}, so the training for that fold would not have it"
            )
            faults.append(Fault(text, "use fewer folds (split.folds)", target, "folds"))
    return faults


def _hold_out_stratified(
    rows: DatasetIndex, pool: Numbers, share: float, seed: int, rule: SplitRule
) -> Numbers:
    """0 for the rows of the pool that are held out, 1 for the others, shape (n,)."""
    targets, groups = rows.targets[pool], groups_of(rows, pool, rule)
    counts = np.bincount(targets, minlength=len(rows.classes))
    exact = share * counts
    wanted = np.where(exact >= HALF, np.clip(exact, 1, np.maximum(counts - 1, 1)), exact)
    wanted[groups_per_class(targets, groups, len(rows.classes)) < 2] = 0
    quotas = np.stack([wanted, counts - wanted])
    return stratified_group_allocation(targets, groups, quotas, derive_seed(seed, "hold out"))


def _hold_out_stable(rows: DatasetIndex, pool: Numbers, share: float, seed: int, rule: SplitRule) -> Numbers:
    """0 for the rows of the pool that are held out, 1 for those that train, -1 for neither, shape (n,)."""
    names = unit_names(rows)
    units, targets = np.array([names[row] for row in pool.tolist()]), rows.targets[pool]
    parts = place_units(units.tolist(), [share], seed, "hold out")
    for target in np.unique(targets).tolist():
        if not (parts[targets == target] == 1).any():
            parts[np.isin(units, units[targets == target])] = 1
    places = np.full(len(rows), -1, dtype=np.int64)
    places[pool] = parts
    places[
        [row.dropped for row in leave_out(places, order_of(rows, rule.near), shared_names(rows), rule.near)]
    ] = -1
    return places[pool]
