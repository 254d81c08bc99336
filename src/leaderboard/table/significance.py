"""Two models on the same images: is one of them worse, and by how much at most? Paired tests and intervals.

All functions take two boolean arrays (n,): for each image whether the model before, and the one after, is
correct. Only the images on which exactly one of them is correct (discordant ones) tell them apart.

Tango's score method (Tango, "Equivalence test and confidence interval for the difference in proportions for
the paired-sample design", Statistics in Medicine 17, 1998) compares the observed loss with a supposed one,
with the variance that the supposed one has. So it says something even if no image is discordant, and its
limits stay within -1 and 1.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import bdtrc, ndtr, ndtri

from src.evaluation.uncertainty.intervals import Interval

Correct = NDArray[np.bool_]  # (n,)

FEW = 25  # with fewer discordant images the chi-square distribution is too coarse
EDGE = 1e-12  # a supposed loss of exactly 1 or -1 has no variance


@dataclass(frozen=True)
class Discordance:
    """Images on which exactly one of the two is correct."""

    lost: int  # correct before only
    won: int  # correct after only
    images: int  # all, discordant or not

    @property
    def loss(self) -> float:
        """Accuracy before minus accuracy after, as a share of the images."""
        return (self.lost - self.won) / self.images


def discordance(before: Correct, after: Correct) -> Discordance:
    """Count the discordant images. Raises ValueError when the arrays are not a pair."""
    kinds = f"{before.dtype}{before.shape} and {after.dtype}{after.shape}"
    if before.shape != after.shape or before.ndim != 1 or {before.dtype, after.dtype} != {np.dtype(bool)}:
        raise ValueError(f"must be two boolean arrays (n,), but got {kinds}")
    if not len(before):
        raise ValueError("must have at least one image, but got none")
    return Discordance(int((before & ~after).sum()), int((after & ~before).sum()), len(before))


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


def loss_p(found: Discordance, margin: float) -> float:
    """One-sided p value of "the loss in accuracy is at least ``margin``"; small when it is less."""
    return float(ndtr(_score(found, margin)))


def loss_limit(found: Discordance, level: float) -> float:
    """Upper limit of the loss in accuracy at the one-sided confidence 1 - ``level``, which is below 1/2.

    A loss is within a margin by :func:`loss_p` at this level exactly when the limit is.
    """
    if found.loss == 1:
        return 1.0
    z = float(ndtri(level))  # negative
    limit = brentq(lambda loss: _score(found, loss) - z, found.loss, 1 - EDGE, xtol=1e-15)
    return float(limit)


def change_interval(before: Correct, after: Correct, confidence: float) -> Interval:
    """Two-sided interval of accuracy after minus accuracy before."""
    found, tail = discordance(before, after), (1 - confidence) / 2
    back = Discordance(found.won, found.lost, found.images)
    return Interval(-loss_limit(found, tail), loss_limit(back, tail))


def accuracy_change(before: Correct, after: Correct) -> float:
    """Accuracy after minus accuracy before, as a share of the images."""
    found = discordance(before, after)
    return (found.won - found.lost) / found.images


def _score(found: Discordance, loss: float) -> float:
    """Tango's statistic: (observed - supposed ``loss``) in standard errors under the supposed one.

    Decreases as ``loss`` grows; 0 at the observed loss. Equations (24) to (26) of the paper, whose b is
    ``won`` and whose c is ``lost``.
    """
    gap = found.lost - found.won - found.images * loss
    if gap == 0:
        return 0.0
    # q: maximum likelihood of the share of images won, if the share lost is q + loss
    half = (2 * found.images - found.lost + found.won) * loss - found.lost - found.won
    under = half**2 + 8 * found.images * found.won * loss * (1 - loss)
    q = (math.sqrt(max(under, 0.0)) - half) / (4 * found.images)
    return gap / math.sqrt(found.images * (2 * q + loss * (1 - loss)))


def _at_least(count: int, total: int) -> float:
    """Probability of at least ``count`` heads in ``total`` tosses of a fair coin."""
    return 1.0 if count <= 0 else float(bdtrc(count - 1, total, 0.5))
