"""The rule that divides images, and which images belong together."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from src.core.wording import counted
from src.data.dataset.index import DatasetIndex
from src.data.splitting.assignment.allocation import groups_per_class
from src.data.splitting.assignment.faults import Fault, Shortage
from src.data.splitting.assignment.groups import group_rows
from src.data.splitting.assignment.stable import unit_names

NO_PAIRS = np.zeros((0, 2), dtype=np.int64)
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class SplitRule:
    """How images are divided.

    Attributes:
        method: ``stratified`` draws exact shares of each class. ``stable`` gives each image a place of its
            own, which no other image changes.
        rare: what happens to classes that are too small. ``train``: no split but train needs them; ``drop``:
            they are left out.
        near: (P, 2) rows that are near copies, and so must not be on two sides.
    """

    method: Literal["stable", "stratified"] = "stratified"
    rare: Literal["refuse", "train", "drop"] = "refuse"
    near: Numbers = field(default_factory=lambda: NO_PAIRS)


def shared_names(rows: DatasetIndex) -> dict[str, list[str | None]]:
    """What images that belong together share."""
    return {
        "equal pixels": rows.digests.tolist(),
        "one group": rows.group_names,
        "one subject": rows.subjects,
    }


def groups_of(rows: DatasetIndex, pool: Numbers, rule: SplitRule) -> Numbers:
    """Number of the group of each row of the pool, shape (n,)."""
    place = np.full(len(rows), -1, dtype=np.int64)
    place[pool] = np.arange(len(pool))
    near = place[rule.near]
    names = [[each[row] for row in pool.tolist()] for each in shared_names(rows).values()]
    return group_rows(names, near[(near >= 0).all(axis=1)])


def order_of(rows: DatasetIndex, near: Numbers) -> list[int]:
    """The rows in the order in which they claim to stay, when two that belong together are on two sides.

    Of given splits the more held-out one is first. Then come images with few near copies (P, 2): one that is
    near to two others gives way to both, so that few are left out. Then the smallest hash of a file decides,
    which does not depend on the names of the images.
    """
    rank = {"test": 0, "val": 1}
    copies = np.bincount(near.ravel(), minlength=len(rows)).tolist()
    columns = zip(rows.given_splits, copies, rows.originals, unit_names(rows), strict=True)
    keys = [(rank.get(given or "", 2), *rest) for given, *rest in columns]
    return sorted(range(len(rows)), key=keys.__getitem__)


def too_few_groups(
    rows: DatasetIndex,
    pool: Numbers,
    groups: Numbers,
    need: int,
    who: str,
    part: Literal["held out", "folds"],
    spared: frozenset[int],
) -> list[Fault]:
    """There must be ``need`` groups in all, and of every class that is not spared."""
    named = any(rows.group_names[row] or rows.subjects[row] for row in pool.tolist())
    unit = "independent group" if named else "different image"
    fix, total = "use fewer folds (split.folds)", len(np.unique(groups))
    verb = "is" if total == 1 else "are"
    text = f"There {verb} {counted(total, unit)}, but {who} need{'s' * (part == 'folds')} at least {need}"
    owned = groups_per_class(rows.targets[pool], groups, len(rows.classes))
    everywhere, here = np.full(len(rows), True), np.isin(np.arange(len(rows)), pool)
    elsewhere = np.zeros_like(owned) if named else rows.counts(everywhere) - rows.counts(here)
    return [Fault(text, fix)] * (total < need) + [
        Shortage(
            who,
            fix,
            c,
            part,
            name=rows.classes[c],
            have=int(owned[c] + elsewhere[c]),
            need=_needed_in_all(need, int(elsewhere[c]), 0.0 if named else _drawn_elsewhere(rows, pool)),
            unit=unit,
        )
        for c in np.flatnonzero(owned < need).tolist()
        if c not in spared
    ]


def _drawn_elsewhere(rows: DatasetIndex, pool: Numbers) -> float:
    """Share of new images that would not come into the pool; 0 if the data say which are for testing."""
    return 0.0 if any(name == "test" for name in rows.given_splits) else 1 - len(pool) / len(rows)


def _needed_in_all(need: int, elsewhere: int, share: float) -> int:
    """Images that a class needs for ``need`` of them to be in the pool, of which ``share`` goes elsewhere."""
    total = need + elsewhere
    while total - round(share * total) < need:
        total += 1
    return total
