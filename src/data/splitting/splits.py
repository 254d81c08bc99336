"""Splits and folds: which rows are for training, for choosing, and for the final test."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from src.core.errors import AssayError
from src.core.seeds import derive_seed
from src.core.wording import counted
from src.data.dataset.index import DatasetIndex
from src.data.splitting.assignment.allocation import stratified_group_allocation
from src.data.splitting.assignment.conflicts import LeftOut, leave_out
from src.data.splitting.assignment.faults import Fault, Shortage, refuse
from src.data.splitting.assignment.folds import HALF, number_folds
from src.data.splitting.assignment.rule import (
    NO_PAIRS,
    Numbers,
    SplitRule,
    groups_of,
    order_of,
    shared_names,
    too_few_groups,
)
from src.data.splitting.assignment.stable import place_units, unit_names

SPLITS = ("train", "val", "calibration", "test")
Names = NDArray[np.str_]


@dataclass(frozen=True)
class Division:
    """The splits and folds of N rows.

    Attributes:
        splits: (N,) train, val, calibration, test or dropped.
        folds: (N,) 0 … F-1 in train and val; else, and for a near copy of an image in another fold, -1.
        left_out: rows that would join two splits.
        only_trained: classes that a held-out split need not have.
        dropped: classes that were left out.
    """

    splits: Names
    folds: Numbers
    left_out: list[LeftOut]
    only_trained: list[int]
    dropped: list[int]


def divide(
    rows: DatasetIndex,
    rule: SplitRule,
    *,
    val: float,
    test: float,
    calibration: float = 0.0,
    folds: int,
    seed: int,
    without: Sequence[LeftOut] = (),
) -> Division:
    """Assign each row to a split, and each row of train and val to a fold.

    Rows with a given split keep it; the other splits are drawn from the remaining rows. Equal images, near
    copies, groups and subjects are never on two sides: a row that would join two given or two stable splits
    is left out. Of two given splits the more held-out one keeps its row.

    Args:
        rows: the N images.
        rule: the method.
        val: share of all images, unless the data give a val split; with ``stable`` on average, and of the
            images whose split is not given.
        test: likewise.
        calibration: likewise; images that are for fitting a temperature and a decision rule, and in no fold.
        folds: their number.
        seed: same seed, same splits.
        without: rows that were left out before.

    Raises:
        AssayError: a group is in two given splits, or there are too few images. All faults are listed.
    """
    only_trained, gone, grew = set[int](), set[int](), True
    shares = {"test": test, "val": val} | ({"calibration": calibration} if calibration else {})
    while grew:
        draw = _Draw(rows, rule, shares, seed, frozenset(only_trained), frozenset(gone))
        splits, left, faults = draw.splits([row.dropped for row in without])
        numbers, of_folds = number_folds(rows, splits, folds, seed, rule)
        faults = [*_divided_groups(rows), *faults, *of_folds, *_too_few_classes(rows, gone)]
        before = len(only_trained) + len(gone)
        _tolerate(rule.rare, faults, only_trained, gone)
        grew = len(only_trained) + len(gone) > before
    refuse([fault for fault in faults if fault.target is None or rule.rare == "refuse"])
    if leave_out(_places(splits), range(len(rows)), {"pixels": rows.digests.tolist()}, NO_PAIRS):
        raise AssayError("Two splits still share an image. This is a bug in Assay: please report it")
    return Division(splits, numbers, [*without, *left], sorted(only_trained - gone), sorted(gone))


def without_copies(rows: DatasetIndex, near: Numbers) -> list[LeftOut]:
    """Rows to leave out so that no two near copies (P, 2) or equal images remain."""
    pixels = {"equal pixels": rows.digests.tolist()}
    # With a place of its own for each row, any two that belong together are in conflict.
    left = leave_out(np.arange(len(rows)), order_of(rows, near), pixels, near)
    return [replace(row, place=None) for row in left]


@dataclass(frozen=True)
class _Draw:
    """One try to draw the splits, with some classes exempt from being held out and others dropped."""

    rows: DatasetIndex
    rule: SplitRule
    shares: dict[str, float]  # of test, val and calibration
    seed: int
    only_trained: frozenset[int]
    gone: frozenset[int]

    def splits(self, without: list[int]) -> tuple[Names, list[LeftOut], list[Fault]]:
        """The split of each row, (N,), but dropped for the rows ``without``; and what is wrong with it."""
        rows = self.rows
        splits = np.array([name or "train" for name in rows.given_splits], dtype="<U11")
        shares = {name: share for name, share in self.shares.items() if name not in splits}
        splits[without] = "dropped"
        splits[np.isin(rows.targets, [*self.gone])] = "dropped"
        if self.rule.method == "stable":
            self._place(splits, shares)
        left = leave_out(_places(splits), order_of(rows, self.rule.near), shared_names(rows), self.rule.near)
        splits[[row.dropped for row in left]] = "dropped"
        faults = self._allocate(splits, shares) if self.rule.method == "stratified" and shares else []
        return splits, left, [*faults, *self._missing(splits, shares, faults)]

    def _place(self, splits: Names, shares: dict[str, float]) -> None:
        pool = np.flatnonzero(splits == "train")
        units = unit_names(self.rows)
        parts = place_units([units[row] for row in pool.tolist()], [*shares.values()], self.seed, "split")
        splits[pool] = np.array([*shares, "train"])[parts]

    def _allocate(self, splits: Names, shares: dict[str, float]) -> list[Fault]:
        pool = np.flatnonzero(splits == "train")
        if not len(pool):
            return []
        quotas, faults = self._quotas(splits, shares)
        groups = groups_of(self.rows, pool, self.rule)
        spared = self.only_trained | self.gone
        faults += too_few_groups(
            self.rows, pool, groups, len(quotas), f"{len(quotas)} splits", "held out", spared
        )
        parts = stratified_group_allocation(
            self.rows.targets[pool], groups, quotas, derive_seed(self.seed, "split")
        )
        splits[pool] = np.array([*shares, "train"])[parts]
        return faults

    def _quotas(self, splits: Names, shares: dict[str, float]) -> tuple[NDArray[np.float64], list[Fault]]:
        """Wanted rows (P, K) of each split that is drawn, and of train in the last row."""
        rows, names = self.rows, self.rows.classes
        kept, pool = rows.counts(splits != "dropped"), rows.counts(splits == "train")
        spared = np.isin(np.arange(len(names)), [*self.only_trained, *self.gone])
        exact = np.outer([*shares.values()], kept)
        faults: list[Fault] = [
            self._shortage(f"split.{part}={share}", "raise the share", c, kept[c], np.ceil(0.5 / share))
            for part, share in shares.items()
            for c in np.flatnonzero((share * kept < HALF) & ~spared).tolist()
        ]
        wanted = np.where(spared, 0, np.maximum(exact, 1))
        rest = pool - wanted.sum(axis=0)
        faults += [
            self._without_training(c, pool[c], pool[c] - rest[c], [*shares])
            for c in np.flatnonzero((rest < HALF) & ~spared).tolist()
        ]
        return np.concatenate([wanted, [np.maximum(rest, 0)]]), faults

    def _without_training(self, c: int, pool: float, taken: float, parts: list[str]) -> Fault:
        """Class ``c`` has ``pool`` images to draw from, and these parts leave none of them."""
        lower = [f"split.{part}" for part in ("val", "test", "calibration") if part in parts]
        fix, need = f"lower {' or '.join(lower)}", len(parts) + 1
        if pool < need:
            return self._shortage(f"{need} splits", fix, c, pool, need)
        return Fault(
            f"class {self.rows.classes[c]!r} has {counted(int(pool), 'image')} to draw from, of which "
            f"{' and '.join(parts)} take {taken:.3g}, so none is left for training",
            fix,
            c,
            "held out",
        )

    def _shortage(self, who: str, fix: str, c: int, have: float, need: float) -> Shortage:
        name = self.rows.classes[c]
        return Shortage(who, fix, c, "held out", name=name, have=int(have), need=int(need), unit="image")

    def _missing(self, splits: Names, shares: dict[str, float], known: Sequence[Fault]) -> list[Fault]:
        """A given split may lack a class; train and splits that were drawn may not."""
        fix = (
            "change the shares, the seed or split.method"
            if self.rule.method == "stable"
            else "make its groups smaller"
        )
        faulty = {fault.target for fault in known} | self.gone
        counts = {split: self.rows.counts(splits == split) for split in ("train", *shares)}
        lacking = {
            c: [
                split
                for split, count in counts.items()
                if not count[c] and (split == "train" or c not in self.only_trained)
            ]
            for c in range(len(self.rows.classes))
            if c not in faulty
        }
        return [
            Fault(
                f"class {self.rows.classes[c]!r} has no image in {' and '.join(parts)}",
                fix,
                c,
                "train" if "train" in parts else "held out",
            )
            for c, parts in lacking.items()
            if parts
        ]


def _tolerate(rare: str, faults: Sequence[Fault], only_trained: set[int], gone: set[int]) -> None:
    """Add the classes that are too small to those that need not be held out, or to those that are dropped."""
    for fault in faults:
        if fault.target is None or rare == "refuse":
            continue
        if rare == "drop" or fault.part == "train":
            gone.add(fault.target)
        elif fault.part == "held out":
            only_trained.add(fault.target)


def _too_few_classes(rows: DatasetIndex, gone: set[int]) -> list[Fault]:
    if len(rows.classes) - len(gone) > 1:
        return []
    names = ", ".join(rows.classes[target] for target in sorted(gone))
    return [Fault(f"without the classes that are too small ({names}), fewer than two are left", "add images")]


def _divided_groups(rows: DatasetIndex) -> list[Fault]:
    """Groups and subjects that are in two given splits."""
    splits = [name or "train" for name in rows.given_splits]
    faults = []
    for kind, names in (("Group", rows.group_names), ("Subject", rows.subjects)):
        sides: dict[str, set[str]] = {}
        for name, split in zip(names, splits, strict=True):
            if name is not None:
                sides.setdefault(name, set()).add(split)
        faults += [
            Fault(
                f"{kind} {name!r} is in the given splits {' and '.join(s for s in SPLITS if s in found)}",
                "give all images of a group the same split, or remove its column or that of the split",
            )
            for name, found in sides.items()
            if len(found) > 1
        ]
    return faults


def _places(splits: Names) -> Numbers:
    """Number of the split of each row; -1 for dropped rows."""
    return np.select([splits == name for name in SPLITS], range(len(SPLITS)), -1)
