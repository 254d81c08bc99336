"""How far the mean over folds can be trusted: intervals from the metrics of the folds.

Trainings on folds share most of their images, so their metrics are not independent, and Student's interval
is too narrow. The corrected resampled interval (Nadeau and Bengio, "Inference for the generalization error",
Machine Learning 52, 2003) is wider by the share of the images that a fold tests.

Limits end where the metric does: an accuracy above 1 is impossible. Equal values have no interval, because
their spread, which is 0, says nothing about other images.
"""

import numpy as np
from scipy.special import stdtrit

from src.evaluation.metrics.classification import Floats
from src.evaluation.uncertainty.intervals import ROUNDING, Interval

Range = tuple[float, float]  # least and greatest possible value


def student_t(values: Floats, confidence: float, possible: Range) -> Interval:
    """Limits of the mean of independent ``values`` (n,): mean ± t(n - 1) x std / sqrt(n).

    The standard deviation divides by n - 1. NaN for fewer than two different values.
    """
    return _limits(values, 1 / max(len(values), 1), confidence, possible)


def corrected_resampled(values: Floats, test_share: float, confidence: float, possible: Range) -> Interval:
    """Limits of the mean of a metric over n resamples of the same images; NaN as for :func:`student_t`.

    The variance is multiplied by 1/n + ``test_share`` instead of 1/n.

    Args:
        values: (n,).
        test_share: test images per training image, in one resample; 1 / (k - 1) for k folds.
        confidence: of the interval.
        possible: range of the metric.
    """
    return _limits(values, 1 / max(len(values), 1) + test_share, confidence, possible)


def _limits(values: Floats, factor: float, confidence: float, possible: Range) -> Interval:
    """Mean ± t(n - 1) x sqrt(``factor`` x variance), within what is possible."""
    if len(values) < 2 or np.ptp(values) < ROUNDING:
        return Interval(np.nan, np.nan)
    mean, variance = float(np.mean(values)), float(np.var(values, ddof=1))
    half = float(stdtrit(len(values) - 1, 0.5 + confidence / 2)) * float(np.sqrt(factor * variance))
    return Interval(max(mean - half, possible[0]), min(mean + half, possible[1]))
