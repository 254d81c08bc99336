"""Limits over folds against scipy, the NIST handbook and scikit-learn's worked example."""

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.datasets import make_moons
from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score
from sklearn.svm import SVC

from src.cross_validation.intervals import corrected_resampled, student_t

REAL, SHARE = (-math.inf, math.inf), (0.0, 1.0)


def values_with(mean, std, count):
    """Numbers of exactly this mean and standard deviation."""
    numbers = np.random.default_rng(0).normal(size=count)
    return mean + std * (numbers - numbers.mean()) / numbers.std(ddof=1)


@pytest.mark.parametrize("count", [2, 3, 5, 10, 100])
@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.999])
def test_student_t_is_that_of_scipy(count, confidence):
    values = np.random.default_rng(count).uniform(size=count)
    found = student_t(values, confidence, REAL)
    expected = stats.t.interval(confidence, count - 1, values.mean(), stats.sem(values))
    assert (found.low, found.high) == pytest.approx(expected, rel=1e-12)


def test_limits_of_the_nist_handbook():
    """e-Handbook 1.3.5.2, data set ZARR13: N = 195, mean 9.261460, standard deviation 0.022789."""
    found = student_t(values_with(9.261460, 0.022789, 195), 0.95, REAL)
    assert (found.low, found.high) == pytest.approx((9.258242, 9.264679), abs=1e-6)


def test_scikit_learns_comparison_of_two_models():
    """Its example "Statistical comparison of models using grid search": corrected t 0.750, p 0.227 for the
    radial kernel against the linear one, on 10 repeats of 10 folds of 100 images."""
    points, classes = make_moons(noise=0.352, random_state=1, n_samples=100)
    folds = RepeatedStratifiedKFold(n_splits=10, n_repeats=10, random_state=0)
    scores = [
        cross_val_score(SVC(kernel=kernel, random_state=0), points, classes, cv=folds, scoring="roc_auc")
        for kernel in ("rbf", "linear")
    ]
    differences = scores[0] - scores[1]
    # one-sided p = 0.227 means that the limits at confidence 1 - 2p just touch zero
    found = corrected_resampled(differences, 10 / 90, 0.95, REAL)
    t = differences.mean() / ((found.high - found.low) / 2) * stats.t.ppf(0.975, 99)
    assert t == pytest.approx(0.750, abs=5e-4)
    assert stats.t.sf(t, 99) == pytest.approx(0.227, abs=5e-4)
    assert corrected_resampled(differences, 10 / 90, 1 - 2 * stats.t.sf(t, 99), REAL).low == pytest.approx(
        0, abs=1e-9
    )


def test_the_correction_widens_by_the_share_of_test_images():
    values = values_with(0.9, 0.01, 5)
    plain, corrected = student_t(values, 0.95, REAL), corrected_resampled(values, 1 / 4, 0.95, REAL)
    widths = [interval.high - interval.low for interval in (plain, corrected)]
    assert widths[1] / widths[0] == pytest.approx(math.sqrt((1 / 5 + 1 / 4) / (1 / 5)))
    assert corrected_resampled(values, 0.0, 0.95, REAL) == plain


def test_limits_end_where_the_metric_does():
    """Five folds of the digits once had an accuracy of 0.990 to 1.0019."""
    values = np.array([0.986, 0.993, 1.0, 1.0, 1.0])
    wide = corrected_resampled(values, 1 / 4, 0.95, REAL)
    assert wide.high > 1
    found = corrected_resampled(values, 1 / 4, 0.95, SHARE)
    assert (found.low, found.high) == (wide.low, 1.0)
    assert corrected_resampled(1 - values, 1 / 4, 0.95, SHARE).low == 0.0
    assert student_t(np.array([-0.9, 0.9]), 0.95, (-1.0, 1.0)).low == -1.0


@pytest.mark.parametrize("values", [[1.0] * 5, [0.0] * 5, [0.1 + 0.2, 0.3], [0.5], []])
def test_equal_values_say_nothing_so_they_have_no_limits(values):
    """All images of all folds are right: no interval, instead of one without a width."""
    for found in (
        student_t(np.array(values), 0.95, SHARE),
        corrected_resampled(np.array(values), 0.25, 0.95, SHARE),
    ):
        assert math.isnan(found.low) and math.isnan(found.high)
