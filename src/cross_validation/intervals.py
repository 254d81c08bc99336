"""How far the mean over folds can be trusted: intervals from the metrics of the folds.

Trainings on folds share most of their images, so their metrics are not independent, and Student's interval
is too narrow. The corrected resampled interval (Nadeau and Bengio, "Inference for the generalization error",
Machine Learning 52, 2003) is wider by the share of the images that a fold tests.
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
    """Limits of the mean of a metric over n resamples of the same images; NaN for fewer than two.

    The variance is multiplied by 1/n + ``test_share`` instead of 1/n.

    Args:
        values: (n,).
        test_share: test images per training image, in one resample; 1 / (k - 1) for k folds.
        confidence: of the interval.
    """
    return _limits(values, 1 / max(len(values), 1) + test_share, confidence)


def _limits(values: Floats, factor: float, confidence: float) -> Interval:
    """Mean ± t(n - 1) x sqrt(``factor`` x variance)."""
    if len(values) < 2:
        return Interval(np.nan, np.nan)
    mean, variance = float(np.mean(values)), float(np.var(values, ddof=1))
    half = float(stdtrit(len(values) - 1, 0.5 + confidence / 2)) * float(np.sqrt(factor * variance))
    return Interval(mean - half, mean + half)
