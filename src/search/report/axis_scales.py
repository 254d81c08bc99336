"""Where the values of a field lie on an axis from 0 to 1."""

import json
import math
from dataclasses import dataclass
from typing import Any

from matplotlib.ticker import MaxNLocator

from src.search.engine.distributions import Categorical, Distribution
from src.search.report.tables import format_value


@dataclass(frozen=True)
class AxisScale:
    """An axis from 0 to 1: evenly by value, by its logarithm, or a place for each category."""

    ticks: tuple[tuple[float, str], ...]  # (place, text), from below
    low: float = 0.0  # of numbers
    high: float = 1.0
    log: bool = False
    categories: tuple[str, ...] = ()  # as JSON
    step: float = 0.0  # between neighbors, where values lie apart

    def place(self, value: Any) -> float:
        """Where a value lies."""
        if self.categories:
            return _slot(self.categories.index(_key(value)), len(self.categories))
        return _share(float(value), self.low, self.high, self.log)


def scale_of(domain: Distribution) -> AxisScale:
    """The axis of a field: its whole domain, not only the values that were tried."""
    if isinstance(domain, Categorical):
        texts = [format_value(value, 14) for value in domain.values]
        ticks = tuple((_slot(index, len(texts)), text) for index, text in enumerate(texts))
        return AxisScale(ticks, categories=tuple(map(_key, domain.values)), step=1 / len(texts))
    return number_scale(domain.low, domain.high, domain.log, domain.integer)


def number_scale(low: float, high: float, log: bool = False, integer: bool = False) -> AxisScale:
    """An axis of numbers with round ones as ticks."""
    if not low < high:
        return AxisScale(((0.5, format_value(low)),), low, high)
    values = _log_ticks(low, high) if log else []
    if len(values) < 2:  # also a logarithmic axis without powers of ten
        values = _even_ticks(low, high, integer)
    if integer and not log:  # each has room to both sides
        low, high = low - 0.5, high + 0.5
    ticks = tuple((_share(value, low, high, log), tick_text(value)) for value in values)
    return AxisScale(ticks, low, high, log, step=1 / (high - low) if integer and not log else 0.0)


def tick_text(value: float) -> str:
    """0.003 · 1,500 · 20k · 1.2M."""
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= max(unit, 1e4):
            return f"{value / unit:.3g}{letter}"
    return f"{value:,.4g}"


def _key(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _slot(index: int, slots: int) -> float:
    return (index + 0.5) / slots


def _share(value: float, low: float, high: float, log: bool) -> float:
    if not low < high:
        return 0.5
    if log:
        value, low, high = math.log(value), math.log(low), math.log(high)
    return (value - low) / (high - low)


def _even_ticks(low: float, high: float, integer: bool) -> list[float]:
    values = MaxNLocator(5, integer=integer, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    slack = 1e-9 * (high - low)
    return [float(value) for value in values if low - slack <= value <= high + slack]


def _log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten, and the more of their multiples the fewer powers there are."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if high / low <= 20 else (1, 3) if high / low <= 1000 else (1,)
    slack = 1 + 1e-9
    values = [factor * 10.0**power for power in powers for factor in factors]
    return [value for value in values if low <= value * slack and value <= high * slack]
