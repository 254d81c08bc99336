"""Is the change in accuracy between two models significant? Paired tests on the same images.

All functions take two boolean arrays (n,): for each image whether the model before, and the one after, is
correct. Only the images on which exactly one of them is correct (discordant ones) tell them apart.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtrc

Correct = NDArray[np.bool_]  # (n,)

FEW = 25  # with fewer discordant images the chi-square distribution is too coarse


@dataclass(frozen=True)
class Discordance:
    """Images on which exactly one of the two is correct."""

    lost: int  # correct before only
    won: int  # correct after only


def discordance(before: Correct, after: Correct) -> Discordance:
    """Count the discordant images. Raises ValueError when the arrays are not a pair."""
    kinds = f"{before.dtype}{before.shape} and {after.dtype}{after.shape}"
    if before.shape != after.shape or before.ndim != 1 or {before.dtype, after.dtype} != {np.dtype(bool)}:
        raise ValueError(f"must be two boolean arrays (n,), but got {kinds}")
    return Discordance(lost=int((before & ~after).sum()), won=int((after & ~before).sum()))


def mcnemar(before: Correct, after: Correct) -> float:
    """Two-sided p value of "both are equally often correct" (McNemar, 1947).

    Exact binomial for fewer than 25 discordant images, else chi-square with the continuity correction of
    Edwards (1948). 1 when no image is discordant.
    """
    found = discordance(before, after)
    total = found.lost + found.won
    if total < FEW:
        return min(1.0, 2 * _at_least(max(found.lost, found.won), total))
    # the correction never changes the sign: equal counts mean no change
    gap = max(abs(found.lost - found.won) - 1, 0)
    return math.erfc(math.sqrt(gap**2 / total / 2))  # upper tail of chi-square with one degree of freedom


def one_sided_p(before: Correct, after: Correct) -> float:
    """One-sided p value of "after is correct at least as often as before"; small when it is worse.

    The exact binomial (sign) test for any number of discordant images. 1 when there are none.
    """
    found = discordance(before, after)
    return _at_least(found.lost, found.lost + found.won)


def significantly_worse(before: Correct, after: Correct, level: float) -> bool:
    """Whether :func:`one_sided_p` is below ``level``, which is in (0, 1)."""
    return one_sided_p(before, after) < level


def accuracy_change(before: Correct, after: Correct) -> float:
    """Accuracy after minus accuracy before, as a share of the images."""
    found = discordance(before, after)
    return (found.won - found.lost) / len(before)


def _at_least(count: int, total: int) -> float:
    """Probability of at least ``count`` heads in ``total`` tosses of a fair coin."""
    return 1.0 if count <= 0 else float(bdtrc(count - 1, total, 0.5))
