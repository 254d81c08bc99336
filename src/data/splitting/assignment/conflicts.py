"""Conflicts: rows that belong together, but have different places. One of them is left out.

The rows are taken in a fixed order, and a row stays if it contradicts no row that stays already: a maximal
independent set of the conflicts. With those that have the fewest relations first, it is nearly as large as it
can be (Halldórsson, Radhakrishnan 1997, "Greed is good").
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NEAR = "near copies"
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class LeftOut:
    """A row that was left out, because it belongs to a row that stays in another place."""

    dropped: int
    kept: int
    because: str  # what they share
    place: int | None  # of the row that was left out; None: it had none yet


def leave_out(
    places: Numbers, order: Iterable[int], names: Mapping[str, Sequence[str | None]], near: Numbers
) -> list[LeftOut]:
    """Leave out rows until no two that belong together have different places, in the order of the rows.

    Args:
        places: (N,) such as the number of a split; rows below 0 take no part.
        order: the rows, those that are to stay first.
        names: {what they share: N names or None}; rows with the same name belong together.
        near: (P, 2) pairs of rows that belong together.
    """
    paired: dict[int, list[int]] = defaultdict(list)
    for a, b in near.tolist():
        paired[a].append(b)
        paired[b].append(a)
    owners: dict[tuple[str, str], int] = {}  # of each name the first row that stays
    stays: set[int] = set()
    found: list[LeftOut] = []
    place = places.tolist()
    for row in order:
        if place[row] < 0:
            continue
        keys = [(kind, name) for kind, each in names.items() if (name := each[row]) is not None]
        related = [(owners[key], key[0]) for key in keys if key in owners]
        related += [(other, NEAR) for other in paired.get(row, ()) if other in stays]
        conflict = next(((other, kind) for other, kind in related if place[other] != place[row]), None)
        if conflict is not None:
            found.append(LeftOut(row, *conflict, place[row]))
            continue
        stays.add(row)
        for key in keys:
            owners.setdefault(key, row)
    return sorted(found, key=lambda left: left.dropped)
