"""Places that survive growth: where an image goes depends on itself and the seed, not on the other images.

Its unit is hashed to a number in [0, 1), and thresholds say which split or fold that number belongs to. See
docs/stable-splits.md.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from src.data.dataset.index import DatasetIndex

Numbers = NDArray[np.int64]
BITS = 53  # of a float64: any such integer / 2**53 is exact, and below 1


def unit_names(rows: DatasetIndex) -> list[str]:
    """What is placed as a whole: the subject of each image, else its group, else the image's file."""
    columns = zip(rows.subjects, rows.group_names, rows.originals, strict=True)
    return [
        f"file {original}" if subject is None and group is None else _name_of(subject, group)
        for subject, group, original in columns
    ]


def _name_of(subject: str | None, group: str | None) -> str:
    return f"group {group}" if subject is None else f"subject {subject}"


def place_units(units: Sequence[str], shares: Sequence[float], seed: int, purpose: str) -> Numbers:
    """Part of each unit, shape (n,): 0 … P-1 for the shares, and P for the rest.

    Args:
        units: n names; equal names get the same part.
        shares: P of all units, on average; they sum to at most 1.
        seed: another seed gives other parts.
        purpose: so do other purposes, such as splits and folds.
    """
    known: dict[str, float] = {}
    for unit in units:
        if unit not in known:
            known[unit] = _position(f"{seed}/{purpose}/{unit}")
    positions = np.array([known[unit] for unit in units], dtype=np.float64)
    return np.searchsorted(np.cumsum(shares), positions, side="right")


def _position(text: str) -> float:
    """A number in [0, 1), uniform over texts."""
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return (number >> 64 - BITS) / 2**BITS  # type: ignore[no-any-return]
