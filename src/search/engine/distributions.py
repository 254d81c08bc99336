"""The values that one field of a search can take."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Categorical:
    """One of these values: numbers, strings, lists or dictionaries."""

    values: tuple[Any, ...]


@dataclass(frozen=True)
class Range:
    """Any number from ``low`` to ``high``, both included."""

    low: float
    high: float
    log: bool = False  # sampled evenly on a logarithmic scale
    integer: bool = False


Distribution = Categorical | Range
