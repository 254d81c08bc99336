"""Splits and folds: which rows train, which choose, which report."""

import numpy as np
from numpy.typing import NDArray

from src.core.errors import AssayError
from src.core.seeds import derive_seed
from src.data.dataset.index import DatasetIndex
from src.data.splitting.allocation import stratified_group_allocation, units_of_classes
from src.data.splitting.groups import group_rows
from src.data.splitting.leakage import ExactDuplicate, copies_across_splits

SPLITS = ("train", "val", "test")
SHOWN = 10  # faults listed in one message
HALF = 0.5 - 1e-9  # of an image; a share of it or more is rounded up to one
Names = NDArray[np.str_]
Numbers = NDArray[np.int64]


def split_rows(rows: DatasetIndex, val: float, test: float, seed: int) -> tuple[Names, list[ExactDuplicate]]:
    """Split of each row, shape (N,): train, val, test or dropped; and the copies that were dropped.

    Official test and val rows stay what they are; of equal images in two official splits the most
    held-out stays. A part that the data do not bring is drawn from the other rows: its share is of
    all images, for each class, and equal images and groups are never divided.

    Args:
        val: share of all images, unless there is an official val.
        test: share of all images, unless there is an official test.

    Raises:
        AssayError: a group lies across official splits, or a class is too small for the splits.
    """
    splits = np.array([name or "train" for name in rows.official], dtype="<U7")
    _refuse_divided_groups(rows.groups, splits.tolist())
    copies = copies_across_splits(rows.digests, splits)
    splits[[copy.dropped for copy in copies]] = "dropped"
    shares = {name: share for name, share in (("test", test), ("val", val)) if name not in splits}
    if shares:
        pool = np.flatnonzero(splits == "train")
        quotas = _quotas(rows, splits, shares)
        units = _independent(rows, pool, len(quotas), "the splits need")
        parts = stratified_group_allocation(rows.targets[pool], units, quotas, derive_seed(seed, "split"))
        splits[pool] = np.array([*shares, "train"])[parts]
    _refuse_missing_classes(rows, splits, [*shares, "train"])
    if copies_across_splits(rows.digests, splits):
        raise AssayError("Equal images are still in two splits. This is a fault of Assay: please report it")
    return splits, copies


def fold_rows(rows: DatasetIndex, splits: Names, folds: int, seed: int) -> Numbers:
    """Fold 0 … folds-1 of each row of train and val, shape (N,); -1 for test and dropped rows.

    Each fold has its share of each class; equal images and groups are never divided.

    Raises:
        AssayError: a class has too few images or groups, or there are more folds than groups.
    """
    pool = np.flatnonzero(np.isin(splits, ("train", "val")))
    units = _independent(rows, pool, folds, f"split.folds={folds} needs")
    counts = np.bincount(rows.targets[pool], minlength=len(rows.classes))
    quotas = np.tile(counts / folds, (folds, 1))  # (folds, K)
    numbers = np.full(len(rows), -1, dtype=np.int64)
    numbers[pool] = stratified_group_allocation(rows.targets[pool], units, quotas, derive_seed(seed, "folds"))
    return numbers


def holdout_mask(rows: DatasetIndex, pool: Numbers, share: float, seed: int) -> NDArray[np.bool_]:
    """Which rows of the pool are held out, shape (n,): ``share`` of each class, at random.

    Equal images and groups are never divided. A class may be missing in the held-out part if its share is
    less than half an image, and is if it has one single independent image or group in the pool.

    Args:
        pool: (n,) rows to draw from.
        share: of the pool, above 0 and below 1.

    Raises:
        AssayError: nothing is held out, or nothing is left.
    """
    targets = rows.targets[pool]
    units = group_rows(rows.digests[pool], [rows.groups[row] for row in pool.tolist()])
    counts = np.bincount(targets, minlength=len(rows.classes))
    exact = share * counts
    wanted = np.where(exact >= HALF, np.clip(exact, 1, np.maximum(counts - 1, 1)), exact)
    wanted[units_of_classes(targets, units, len(rows.classes)) < 2] = 0
    parts = stratified_group_allocation(
        targets, units, np.stack([wanted, counts - wanted]), derive_seed(seed, "hold out")
    )
    held: NDArray[np.bool_] = parts == 0
    if not held.any() or held.all():
        raise AssayError(
            f"{len(pool)} images in {len(np.unique(units))} independent groups cannot give a part of {share} "
            "with a rest beside it: bring more images, or another share"
        )
    return held


def _refuse_divided_groups(groups: list[str | None], splits: list[str]) -> None:
    first: dict[str, str] = {}
    for group, split in zip(groups, splits, strict=True):
        if group is not None and first.setdefault(group, split) != split:
            raise AssayError(
                f"Group {group!r} lies in the official splits {first[group]} and {split}: give all its "
                "images the same split, or leave the column group or split out of the data"
            )


def _quotas(rows: DatasetIndex, splits: Names, shares: dict[str, float]) -> NDArray[np.float64]:
    """Wanted rows (P, K) of each part that is drawn, and last of train."""
    kept, pool = rows.counts(splits != "dropped"), rows.counts(splits == "train")
    exact = np.outer(list(shares.values()), kept)
    faults = [
        f"class {rows.classes[c]!r} has {kept[c]} images, of which split.{part}={share} takes "
        f"{share * kept[c]:.2g}; it needs at least {int(np.ceil(0.5 / share))} images"
        for part, share in shares.items()
        for c in np.flatnonzero(share * kept < HALF).tolist()
    ]
    _refuse("Too few images for the splits", faults, "or raise the share")
    wanted = np.maximum(exact, 1)
    rest = pool - wanted.sum(axis=0)
    faults = [
        f"class {rows.classes[c]!r} has {pool[c]} images to draw from, of which {' and '.join(shares)} take "
        f"{pool[c] - rest[c]:.3g}, so that none is left to train; it needs at least {len(shares) + 1} images"
        for c in np.flatnonzero(rest < HALF).tolist()
    ]
    _refuse("Too few images for the splits", faults, "or lower split.val or split.test")
    return np.concatenate([wanted, [rest]])


def _independent(rows: DatasetIndex, pool: Numbers, need: int, who: str) -> Numbers:
    """Units of the rows of the pool, of which each class has at least as many as are needed."""
    groups = [rows.groups[row] for row in pool.tolist()]
    units = group_rows(rows.digests[pool], groups)
    kind = "independent groups" if any(group is not None for group in groups) else "different images"
    total = len(np.unique(units))
    if total < need:
        raise AssayError(
            f"There are {total} {kind}, but {who} at least {need}: bring more, or ask for fewer folds "
            "(split.folds)"
        )
    owned = units_of_classes(rows.targets[pool], units, len(rows.classes))
    faults = [
        f"class {rows.classes[c]!r} has {owned[c]} {kind}, but {who} at least {need}"
        for c in np.flatnonzero(owned < need).tolist()
    ]
    _refuse("Too few images", faults, "or ask for fewer folds (split.folds)")
    return units


def _refuse_missing_classes(rows: DatasetIndex, splits: Names, needed: list[str]) -> None:
    """An official split may lack a class; one that was drawn, and train, may not."""
    faults = [
        f"class {rows.classes[c]!r} has no image in {split}"
        for split in needed
        for c in np.flatnonzero(rows.counts(splits == split) == 0).tolist()
    ]
    _refuse("A split lacks a class", faults, "or smaller groups of it")


def _refuse(title: str, faults: list[str], mend: str) -> None:
    if not faults:
        return
    more = [f"and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else []
    text = "\n  ".join([f"{title}:", *faults[:SHOWN], *more])
    raise AssayError(f"{text}\nBring more images of the class, remove the class, {mend}")
