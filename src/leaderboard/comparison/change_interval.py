"""How far a change in accuracy can be trusted: paired percentile bootstrap over the images."""

import numpy as np

from src.evaluation.metrics.bootstrap import Interval, bootstrap_weights, percentiles
from src.evaluation.metrics.classification import Floats
from src.leaderboard.table.significance import Correct, discordance


def change_interval(
    before: Correct, after: Correct, *, resamples: int, confidence: float, seed: int
) -> Interval:
    """Interval of the change in accuracy; each resample has the same images for both models."""
    discordance(before, after)  # checks that they are a pair
    change = after.astype(np.float64) - before
    return mean_interval(change, resamples=resamples, confidence=confidence, seed=seed)


def mean_interval(values: Floats, *, resamples: int, confidence: float, seed: int) -> Interval:
    """Interval of the mean of ``values`` (n,), on the resamples of :func:`bootstrap.bootstrap`."""
    some = np.flatnonzero(values)  # the others add nothing
    # einsum, because the sums of a matrix product depend on the number of threads
    means = [
        np.einsum("i,ij->j", values[some], weights[some]) / len(values)
        for weights in bootstrap_weights(seed, len(values), resamples)
    ]
    return percentiles(np.concatenate(means), confidence)
