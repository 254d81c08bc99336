"""How far a change in accuracy can be trusted: percentile bootstrap over images that two models have seen."""

import numpy as np

from src.evaluation.metrics.bootstrap import Interval, bootstrap_weights, percentiles
from src.evaluation.metrics.classification import Floats
from src.leaderboard.table.significance import Right, discordance


def change_interval(before: Right, after: Right, *, resamples: int, confidence: float, seed: int) -> Interval:
    """Paired percentile bootstrap of the change in accuracy: a resample has the same images for both."""
    discordance(before, after)  # refuses what is no pair
    change = after.astype(np.float64) - before
    return mean_interval(change, resamples=resamples, confidence=confidence, seed=seed)


def mean_interval(values: Floats, *, resamples: int, confidence: float, seed: int) -> Interval:
    """Percentile bootstrap of the mean of ``values`` (n,), on the resamples of ``intervals.bootstrap``."""
    some = np.flatnonzero(values)  # the others add nothing
    # einsum, because the sums of a matrix product depend on the number of threads
    means = [
        np.einsum("i,ij->j", values[some], weights[some]) / len(values)
        for weights in bootstrap_weights(seed, len(values), resamples)
    ]
    return percentiles(np.concatenate(means), confidence)
