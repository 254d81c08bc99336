"""Splits and folds: which rows are for training, for choosing, and for the final test."""

import numpy as np
from numpy.typing import NDArray

from src.core.errors import AssayError
from src.core.seeds import derive_seed
from src.data.dataset.index import DatasetIndex
from src.data.splitting.allocation import groups_per_class, stratified_group_allocation
from src.data.splitting.groups import group_rows
from src.data.splitting.leakage import ExactDuplicate, copies_across_splits

SPLITS = ("train", "val", "test")
SHOWN = 10  # faults listed in one message
HALF = 0.5 - 1e-9  # of an image; from here a share is rounded up to one image
Names = NDArray[np.str_]
Numbers = NDArray[np.int64]


def split_rows(rows: DatasetIndex, val: float, test: float, seed: int) -> tuple[Names, list[ExactDuplicate]]:
    """Assign each row to train, val, test or dropped, shape (N,); also returns the copies that were dropped.

    Rows with a given split keep it. If two given splits share an image, it stays in the more held-out one.
    Other splits are drawn from the remaining rows, with their share of all images in each class; equal
    images and groups are never divided.

    Args:
        rows: the N images.
        val: share of all images, unless the data give a val split.
        test: share of all images, unless the data give a test split.
        seed: same seed, same splits.

    Raises:
        AssayError: a group is in two given splits, or a class is too small for the splits.
    """
    splits = np.array([name or "train" for name in rows.given_splits], dtype="<U7")
    _refuse_divided_groups(rows.group_names, splits.tolist())
    copies = copies_across_splits(rows.digests, splits)
    splits[[copy.dropped for copy in copies]] = "dropped"
    shares = {name: share for name, share in (("test", test), ("val", val)) if name not in splits}
    if shares:
        pool = np.flatnonzero(splits == "train")
        quotas = _quotas(rows, splits, shares)
        groups = _independent(rows, pool, len(quotas), "the splits need")
        parts = stratified_group_allocation(rows.targets[pool], groups, quotas, derive_seed(seed, "split"))
        splits[pool] = np.array([*shares, "train"])[parts]
    _refuse_missing_classes(rows, splits, [*shares, "train"])
    if copies_across_splits(rows.digests, splits):
        raise AssayError("Two splits still share an image. This is a bug in Assay: please report it")
    return splits, copies


def fold_rows(rows: DatasetIndex, splits: Names, folds: int, seed: int) -> Numbers:
    """Assign each row of train and val to a fold 0 … folds-1, shape (N,); -1 for test and dropped rows.

    Each fold has its share of each class. Equal images and groups are never divided.

    Raises:
        AssayError: a class has too few images or groups, or there are more folds than groups.
    """
    pool = np.flatnonzero(np.isin(splits, ("train", "val")))
    groups = _independent(rows, pool, folds, f"split.folds={folds} needs")
    counts = np.bincount(rows.targets[pool], minlength=len(rows.classes))
    quotas = np.tile(counts / folds, (folds, 1))  # (folds, K)
    numbers = np.full(len(rows), -1, dtype=np.int64)
    numbers[pool] = stratified_group_allocation(
        rows.targets[pool], groups, quotas, derive_seed(seed, "folds")
    )
    return numbers


def holdout_mask(rows: DatasetIndex, pool: Numbers, share: float, seed: int) -> NDArray[np.bool_]:
    """Hold out ``share`` of each class at random: true for the held-out rows of the pool, shape (n,).

    Equal images and groups are never divided. The held-out part may miss a class whose share is less than
    half an image, and always misses a class with a single independent image or group.

    Args:
        rows: all images.
        pool: (n,) rows to draw from.
        share: of the pool, above 0 and below 1.
        seed: same seed, same mask.

    Raises:
        AssayError: nothing is held out, or nothing is left.
    """
    targets = rows.targets[pool]
    groups = group_rows(rows.digests[pool], [rows.group_names[row] for row in pool.tolist()])
    counts = np.bincount(targets, minlength=len(rows.classes))
    exact = share * counts
    wanted = np.where(exact >= HALF, np.clip(exact, 1, np.maximum(counts - 1, 1)), exact)
    wanted[groups_per_class(targets, groups, len(rows.classes)) < 2] = 0
    parts = stratified_group_allocation(
        targets, groups, np.stack([wanted, counts - wanted]), derive_seed(seed, "hold out")
    )
    held: NDArray[np.bool_] = parts == 0
    if not held.any() or held.all():
        raise AssayError(
            f"{len(pool)} images in {len(np.unique(groups))} independent groups cannot be divided with a "
            f"share of {share}: add images, or change the share"
        )
    return held


def _refuse_divided_groups(names: list[str | None], splits: list[str]) -> None:
    first: dict[str, str] = {}
    for group, split in zip(names, splits, strict=True):
        if group is not None and first.setdefault(group, split) != split:
            raise AssayError(
                f"Group {group!r} is in the given splits {first[group]} and {split}: give all its images the "
                "same split, or remove the column group or split from the data"
            )


def _quotas(rows: DatasetIndex, splits: Names, shares: dict[str, float]) -> NDArray[np.float64]:
    """Wanted rows (P, K) of each split that is drawn, and of train in the last row."""
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
        f"{pool[c] - rest[c]:.3g}, so none is left for training; it needs at least {len(shares) + 1} images"
        for c in np.flatnonzero(rest < HALF).tolist()
    ]
    _refuse("Too few images for the splits", faults, "or lower split.val or split.test")
    return np.concatenate([wanted, [rest]])


def _independent(rows: DatasetIndex, pool: Numbers, need: int, who: str) -> Numbers:
    """Group of each row of the pool; every class must have at least ``need`` groups."""
    names = [rows.group_names[row] for row in pool.tolist()]
    groups = group_rows(rows.digests[pool], names)
    kind = "independent groups" if any(name is not None for name in names) else "different images"
    total = len(np.unique(groups))
    if total < need:
        raise AssayError(
            f"There are {total} {kind}, but {who} at least {need}: add images, or use fewer folds "
            "(split.folds)"
        )
    owned = groups_per_class(rows.targets[pool], groups, len(rows.classes))
    faults = [
        f"class {rows.classes[c]!r} has {owned[c]} {kind}, but {who} at least {need}"
        for c in np.flatnonzero(owned < need).tolist()
    ]
    _refuse("Too few images", faults, "or use fewer folds (split.folds)")
    return groups


def _refuse_missing_classes(rows: DatasetIndex, splits: Names, needed: list[str]) -> None:
    """A given split may lack a class; train and splits that were drawn may not."""
    faults = [
        f"class {rows.classes[c]!r} has no image in {split}"
        for split in needed
        for c in np.flatnonzero(rows.counts(splits == split) == 0).tolist()
    ]
    _refuse("A split lacks a class", faults, "or make its groups smaller")


def _refuse(title: str, faults: list[str], fix: str) -> None:
    if not faults:
        return
    more = [f"and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else []
    text = "\n  ".join([f"{title}:", *faults[:SHOWN], *more])
    raise AssayError(f"{text}\nAdd images of the class, remove the class, {fix}")
