"""Did a change of the model change its accuracy? Tests on the same images before and after.

All functions take two boolean arrays (n,): whether the model before, and the one after, is right on each
image. Only images on which exactly one of them is right (discordant ones) say anything of a change.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Right = NDArray[np.bool_]  # (n,)

FEW = 25  # discordant images below which the chi-square distribution is too coarse


@dataclass(frozen=True)
class Discordance:
    """Images on which one of the two is right."""

    lost: int  # right before only
    won: int  # right after only


def discordance(before: Right, after: Right) -> Discordance:
    """Count the images that say something. Raises ValueError for arrays that are no pair."""
    kinds = f"{before.dtype}{before.shape} and {after.dtype}{after.shape}"
    if before.shape != after.shape or before.ndim != 1 or {before.dtype, after.dtype} != {np.dtype(bool)}:
        raise ValueError(f"takes two boolean arrays (n,), but got {kinds}")
    return Discordance(lost=int((before & ~after).sum()), won=int((after & ~before).sum()))


def mcnemar(before: Right, after: Right) -> float:
    """Two-sided p value of "both are equally often right" (McNemar, 1947).

    Exact binomial for fewer than 25 discordant images, else chi-square with the continuity correction of
    Edwards (1948). 1 when no image is discordant.
    """
    found = discordance(before, after)
    total = found.lost + found.won
    if total < FEW:
        return min(1.0, 2 * _at_least(max(found.lost, found.won), total))
    # the correction never turns the sign: equal counts are no sign of a change
    gap = max(abs(found.lost - found.won) - 1, 0)
    return math.erfc(math.sqrt(gap**2 / total / 2))  # upper tail of chi-square with one degree of freedom


def one_sided_p(before: Right, after: Right) -> float:
    """One-sided p value of "after is right at least as often as before"; small when it is worse.

    The exact binomial (sign) test, whatever the number of discordant images. 1 when there are none.
    """
    found = discordance(before, after)
    return _at_least(found.lost, found.lost + found.won)


def significantly_worse(before: Right, after: Right, level: float) -> bool:
    """Whether :func:`worsening` is below ``level``, which is in (0, 1)."""
    return one_sided_p(before, after) < level


def accuracy_change(before: Right, after: Right) -> float:
    """Accuracy after minus accuracy before, as a share of the images."""
    found = discordance(before, after)
    return (found.won - found.lost) / len(before)


def _at_least(count: int, total: int) -> float:
    """Probability of ``count`` or more heads in ``total`` throws of a fair coin."""
    from scipy.special import bdtrc

    return 1.0 if count <= 0 else float(bdtrc(count - 1, total, 0.5))
