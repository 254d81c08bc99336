"""Splits and folds: which rows train, which choose, which report."""

import numpy as np
from numpy.typing import NDArray

from src.data.allocation import allocate, units_of_classes
from src.data.leakage import Copy, copies_across_splits
from src.data.units import independent_units
from src.errors import AssayError
from src.provenance.seeds import derive

SPLITS = ("train", "val", "test")
SHOWN = 10  # faults listed in one message
Names = NDArray[np.str_]
Counts = NDArray[np.int64]


def split_rows(
    targets: Counts,
    classes: list[str],
    digests: Names,
    groups: list[str | None],
    official: list[str | None],
    val: float,
    test: float,
    seed: int,
) -> tuple[Names, list[Copy]]:
    """Split of each row, shape (N,): train, val, test or dropped; and the copies that were dropped.

    Official test and val rows stay what they are. A part that the data do not bring is drawn, from
    the rows that are left, with its share of all images of each class. Equal images and groups are
    never divided. Of equal images in two official splits the most held-out stays.

    Args:
        targets: (N,) class of each row.
        classes: the K names of the classes.
        digests: (N,) SHA-256 of the pixels.
        groups: N names of groups, or None.
        official: N times train, val, test or None.
        val: share of all images.
        test: share of all images.

    Raises:
        AssayError: a group lies across official splits, or a class is too small.
    """
    splits = np.array([name or "train" for name in official], dtype="<U7")
    _refuse_divided_groups(groups, splits)
    copies = copies_across_splits(digests, splits)
    splits[[copy.dropped for copy in copies]] = "dropped"
    shares = {name: share for name, share in (("test", test), ("val", val)) if name not in splits}
    pool = np.flatnonzero(splits == "train")
    units = independent_units(digests[pool], [groups[row] for row in pool])
    kept = np.bincount(targets[splits != "dropped"], minlength=len(classes))
    quotas = _quotas(shares, kept, np.bincount(targets[pool], minlength=len(classes)), classes)
    _refuse_small_classes(targets[pool], units, classes, len(quotas), "the splits", any(groups))
    names = np.array([*shares, "train"], dtype="<U7")
    splits[pool] = names[allocate(targets[pool], units, quotas, derive(seed, "split"))]
    _refuse_missing_classes(targets, classes, splits, [*shares, "train"])
    if copies_across_splits(digests, splits):
        raise AssayError("Equal images are still in two splits: this is a fault of Assay, please report it")
    return splits, copies


def fold_rows(
    targets: Counts,
    classes: list[str],
    digests: Names,
    groups: list[str | None],
    splits: Names,
    folds: int,
    seed: int,
) -> Counts:
    """Fold 0 … folds-1 of each row of train and val, shape (N,); -1 for test and dropped rows.

    Raises:
        AssayError: a class has too few images or groups, or there are more folds than groups.
    """
    pool = np.flatnonzero(np.isin(splits, ("train", "val")))
    units = independent_units(digests[pool], [groups[row] for row in pool])
    grouped = any(groups)
    if grouped and len(np.unique(units)) < folds:
        raise AssayError(
            f"split.folds={folds} needs at least {folds} groups outside the test split, but there are "
            f"{len(np.unique(units))}: set split.folds to that number or less, or bring more groups"
        )
    _refuse_small_classes(targets[pool], units, classes, folds, f"split.folds={folds}", grouped)
    counts = np.bincount(targets[pool], minlength=len(classes))
    quotas = np.tile(counts / folds, (folds, 1))  # (folds, K)
    numbers = np.full(len(targets), -1, dtype=np.int64)
    numbers[pool] = allocate(targets[pool], units, quotas, derive(seed, "folds"))
    return numbers


def class_counts(targets: Counts, classes: list[str], chosen: NDArray[np.bool_]) -> dict[str, int]:
    """Images of each class among the chosen rows."""
    counts = np.bincount(targets[chosen], minlength=len(classes))
    return {name: int(count) for name, count in zip(classes, counts, strict=True)}


def _refuse_divided_groups(groups: list[str | None], splits: Names) -> None:
    first: dict[str, str] = {}
    for group, split in zip(groups, splits.tolist(), strict=True):
        if group is not None and first.setdefault(group, split) != split:
            raise AssayError(
                f"Group {group!r} lies in the official splits {first[group]} and {split}: give all its "
                "images the same split, or remove the group or split from the data"
            )


def _quotas(shares: dict[str, float], kept: Counts, pool: Counts, classes: list[str]) -> NDArray[np.float64]:
    """Wanted rows (P, K) of the drawn parts and, last, of train."""
    wanted = np.array([share * kept for share in shares.values()]).reshape(len(shares), len(kept))
    faults = [
        f"split.{part}={share} of the {count} images of class {name!r} is {share * count:.2g} of an image"
        for part, share in shares.items()
        for name, count in zip(classes, kept.tolist(), strict=True)
        if share * count < 0.5
    ]
    if faults:
        raise AssayError(
            _listed("Too few images for the splits", faults)
            + "Every class needs at least one image in each split: raise the share, bring more images "
            "of the class, or remove the class"
        )
    wanted = np.maximum(wanted, 1)  # half an image or more is one
    return np.concatenate([wanted, [_train_quota(pool - wanted.sum(axis=0), pool, classes)]])


def _train_quota(rest: NDArray[np.float64], pool: Counts, classes: list[str]) -> NDArray[np.float64]:
    faults = [
        f"class {name!r} has {count} images outside the official splits, and the shares leave none to train"
        for name, count, left in zip(classes, pool.tolist(), rest.tolist(), strict=True)
        if left < 1 - 1e-9
    ]
    if faults:
        raise AssayError(
            _listed("Too few images for the splits", faults)
            + "Lower split.val or split.test, bring more images of the class, or remove the class"
        )
    return rest


def _refuse_small_classes(
    targets: Counts, units: Counts, classes: list[str], need: int, reason: str, grouped: bool
) -> None:
    """Each class needs an image for each part; in groups, at least two groups for the folds."""
    images = np.bincount(targets, minlength=len(classes))
    independent = units_of_classes(targets, units, len(classes))
    kind = "images or groups that are independent" if grouped else "different images"
    faults = [
        f"class {name!r} has {count} ({own} {kind}), but {reason} need at least {need}"
        for name, count, own in zip(classes, images.tolist(), independent.tolist(), strict=True)
        if own < need
    ]
    if faults:
        raise AssayError(
            _listed("Too few images", faults)
            + "Bring more images of the class, remove the class, or ask for fewer folds (split.folds)"
        )


def _refuse_missing_classes(targets: Counts, classes: list[str], splits: Names, drawn: list[str]) -> None:
    """An official split may lack a class, one that was drawn may not."""
    faults = [
        f"class {name!r} has no image in {split}"
        for split in drawn
        for name, count in class_counts(targets, classes, splits == split).items()
        if not count
    ]
    if faults:
        raise AssayError(
            _listed("The groups are too few or too large for the splits", faults)
            + "Bring more groups with the class, remove the class, or change split.val and split.test"
        )


def _listed(title: str, faults: list[str]) -> str:
    more = [f"and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else []
    return "\n  ".join([f"{title}:", *faults[:SHOWN], *more]) + "\n"
