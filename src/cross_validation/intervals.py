"""How far the mean over folds can be trusted: limits from the figures of the folds themselves.

Trainings on folds share most of their images, so their figures are not independent, and Student's limits
are too narrow. The corrected resampled ones (Nadeau and Bengio, "Inference for the generalization error",
Machine Learning 52, 2003) widen them by the share of the images that a fold tests.
"""

import numpy as np
from scipy.special import stdtrit

from src.evaluation.metrics.bootstrap import Interval
from src.evaluation.metrics.classification import Floats


def student_t(values: Floats, confidence: float) -> Interval:
    """Limits of the mean of independent ``values`` (n,): mean ± t(n - 1) x std / sqrt(n).

    The standard deviation divides by n - 1. NaN for fewer than two values.
    """
    return _limits(values, 1 / max(len(values), 1), confidence)


def corrected_resampled(values: Floats, test_share: float, confidence: float) -> Interval:
    """Limits of the mean of figures (n,) of n resamples of the same images, NaN for fewer than two.

    Their variance is taken times 1/n + ``test_share`` instead of 1/n.

    Args:
        test_share: images that test over images that train, in one resample; 1 / (k - 1) for k folds.
    """
    return _limits(values, 1 / max(len(values), 1) + test_share, confidence)


def _limits(values: Floats, factor: float, confidence: float) -> Interval:
    """Mean ± t(n - 1) x sqrt(``factor`` x variance)."""
    if len(values) < 2:
        return Interval(np.nan, np.nan)
    mean, variance = float(np.mean(values)), float(np.var(values, ddof=1))
    half = float(stdtrit(len(values) - 1, 0.5 + confidence / 2)) * float(np.sqrt(factor * variance))
    return Interval(mean - half, mean + half)
