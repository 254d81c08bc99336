"""What one field of a search may be."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Categorical:
    """One of these values: numbers, texts, lists or mappings."""

    values: tuple[Any, ...]


@dataclass(frozen=True)
class Range:
    """Any number from ``low`` to ``high``, both included."""

    low: float
    high: float
    log: bool = False  # evenly on a logarithmic scale
    integer: bool = False


Distribution = Categorical | Range
