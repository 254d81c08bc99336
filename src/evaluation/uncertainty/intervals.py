"""Intervals of a metric. Light: nothing here imports torch."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

ROUNDING = 1e-12  # of a sum over the images


@dataclass(frozen=True)
class Interval:
    """Lower and upper limit; NaN when every resample was undefined, or all were equal."""

    low: float
    high: float
    undefined: int = 0  # resamples that were left out


UNKNOWN = Interval(math.nan, math.nan)


def wilson(hits: int, rows: int, confidence: float) -> Interval:
    """Score interval of a share (Wilson, 1927); unlike the bootstrap it has a width at 0 and 1."""
    limits = binomtest(hits, rows).proportion_ci(confidence, method="wilson")
    return Interval(max(0.0, float(limits.low)), min(1.0, float(limits.high)))


def newcombe(hits: int, rows: int, others: int, other_rows: int, confidence: float) -> Interval:
    """Interval of the difference of two shares of different images (Newcombe, 1998, method 10)."""
    one, other = hits / rows, others / other_rows
    of_one, of_other = wilson(hits, rows, confidence), wilson(others, other_rows, confidence)
    down = math.hypot(one - of_one.low, of_other.high - other)
    up = math.hypot(of_one.high - one, other - of_other.low)
    return Interval(one - other - down, one - other + up)


def percentiles(values: NDArray[np.float64], confidence: float) -> Interval:
    """The interval that leaves out equally many resamples at either end. ``values``: (r,).

    No interval if all are equal up to rounding.
    """
    known = values[~np.isnan(values)]
    undefined = len(values) - len(known)
    if not len(known) or np.ptp(known) < ROUNDING:
        return Interval(np.nan, np.nan, undefined)
    tail = (1 - confidence) / 2
    low, high = np.quantile(known, [tail, 1 - tail])
    return Interval(float(low), float(high), undefined)
