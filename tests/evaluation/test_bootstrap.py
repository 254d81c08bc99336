"""The vectorised bootstrap is a plain loop over resampled rows, only faster."""

import math
import time

import numpy as np
import pytest

from src.core.metric_names import metric_of
from src.evaluation.metrics import classification
from src.evaluation.uncertainty import bootstrap as bootstrap_module
from src.evaluation.uncertainty.bootstrap import bootstrap, bootstrap_weights
from src.evaluation.uncertainty.intervals import Interval, wilson
from tests.support.scores import case, scores

RESAMPLES = 120


def quick(probabilities, targets, **changes):
    settings = {"top_k": 2, "bins": 10, "resamples": RESAMPLES, "confidence": 0.9, "seed": 7} | changes
    return bootstrap(probabilities, targets, advance=lambda n: None, **settings)


def naive(probabilities, targets, seed=7):
    """The figures of each resample, made by copying its rows."""
    found = {}
    for weights in bootstrap_weights(seed, len(targets), RESAMPLES):
        for column in weights.T:
            rows = np.repeat(np.arange(len(targets)), column)
            for name, value in classification.summary(probabilities[rows], targets[rows], 2, 10).items():
                found.setdefault(name, []).append(value)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["two, ties", "two, imbalanced", "three classes", "three, ties", "three, one missing", "ten, imbalanced"],
)
def test_equals_a_naive_loop(name):
    probabilities, targets = case(name)
    expected = naive(probabilities, targets)
    found = quick(probabilities, targets)
    assert found.keys() == expected.keys()
    for figure, values in expected.items():
        if figure in ("accuracy", "recall_weighted", "top_k_accuracy"):
            continue  # a share has Wilson's interval
        known = np.array(values)[~np.isnan(values)]
        low, high = np.quantile(known, [0.05, 0.95])
        assert found[figure].low == pytest.approx(low, abs=1e-9), figure
        assert found[figure].high == pytest.approx(high, abs=1e-9), figure
        assert found[figure].undefined == RESAMPLES - len(known), figure


def test_resamples_without_the_positive_class_are_left_out_and_counted():
    probabilities, targets = case("two, imbalanced")  # 3 of 100: missing in about 5% of the resamples
    found = quick(probabilities, targets)
    assert 0 < found["roc_auc"].undefined < RESAMPLES / 4
    assert found["accuracy"].undefined == 0


def test_a_figure_that_is_never_defined_has_no_interval():
    found = quick(*scores(2, [20, 0], 9.0, 0))
    assert found["roc_auc"].undefined == RESAMPLES
    assert math.isnan(found["roc_auc"].low)
    assert math.isnan(found["roc_auc"].high)


def test_blocks_do_not_change_the_result(monkeypatch):
    predictions = case("ten classes")
    whole = quick(*predictions)
    monkeypatch.setattr(bootstrap_module, "BLOCK", 300 * 7)  # seven resamples at a time
    parts = quick(*predictions)
    assert parts.keys() == whole.keys()
    for name, limits in whole.items():
        assert (parts[name].low, parts[name].high) == pytest.approx((limits.low, limits.high), abs=1e-12)


def test_depends_on_the_seed_alone():
    predictions = case("three classes")
    np.random.seed(1)  # a global generator has no say
    first = quick(*predictions)
    assert quick(*predictions) == first
    assert quick(*predictions, seed=8) != first


def test_each_resample_has_as_many_rows_as_the_sample():
    blocks = list(bootstrap_weights(0, 50, 30))
    assert sum(block.shape[1] for block in blocks) == 30
    assert all((block.sum(axis=0) == 50).all() for block in blocks)


def test_each_row_is_drawn_equally_often():
    drawn = np.concatenate(list(bootstrap_module.bootstrap_weights(0, 20, 2000)), axis=1).sum(axis=1)
    assert drawn.sum() == 20 * 2000
    assert np.abs(drawn - 2000).max() < 5 * 2000**0.5


def test_a_perfect_ranking_is_perfect_in_every_resample_that_has_its_class():
    """Also where the highest rows were not drawn, so that nothing is above the others."""
    targets = np.repeat([0, 1], 3)
    sure = np.array([0.1, 0.2, 0.3, 0.7, 0.8, 0.9])
    drawn = bootstrap_module.resample(
        np.stack([1 - sure, sure], axis=1), targets, top_k=2, bins=5, resamples=500, seed=0
    )
    weights = np.concatenate(list(bootstrap_module.bootstrap_weights(0, 6, 500)), axis=1)
    has_positive = weights[3:].sum(axis=0) > 0
    assert not has_positive.all()
    assert (drawn["average_precision"][has_positive] == 1.0).all()
    assert np.isnan(drawn["average_precision"][~has_positive]).all()
    assert "top_k_accuracy" not in drawn, "two of two classes always contain the true one"
    assert "top_k_accuracy" not in quick(np.stack([1 - sure, sure], axis=1), targets)


def test_too_many_images_and_classes_leave_areas_without_interval(monkeypatch):
    monkeypatch.setattr(bootstrap_module, "AREA_BUDGET", 10)
    found = quick(*case("three classes"))
    assert "roc_auc" not in found
    assert "accuracy" in found


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    random = np.random.default_rng(0)
    covered = 0
    for repeat in range(60):
        right = random.random(200) < 0.8
        probabilities = np.where(right[:, None], [0.9, 0.1], [0.1, 0.9])
        limits = quick(probabilities, np.zeros(200, dtype=np.int64), seed=repeat)["brier"]
        covered += limits.low <= 0.8 * 0.02 + 0.2 * 1.62 <= limits.high
    assert 46 <= covered <= 60  # 54 expected at 0.9, standard deviation 2.3


def test_shares_have_wilsons_interval():
    probabilities, targets = case("three classes")
    found, right = quick(probabilities, targets), probabilities.argmax(axis=1) == targets
    assert found["accuracy"] == found["recall_weighted"] == wilson(right.sum(), len(targets), 0.9)
    hits = classification.top_hits(probabilities, targets, 2)
    assert found["top_k_accuracy"] == wilson(hits.sum(), len(targets), 0.9)


@pytest.mark.parametrize("said", [0, 1])
def test_all_right_or_all_wrong_has_a_width_or_no_interval(said):
    """0 of N and N of N: a bootstrap would give an interval without a width."""
    targets = np.array([0, 1] * 30)
    probabilities = np.eye(3)[targets if said else 1 - targets] * 0.9 + 0.1 / 3
    found = quick(probabilities, targets)
    low, high = found["accuracy"].low, found["accuracy"].high
    assert (low, high) == (
        (0.0, pytest.approx(0.043, abs=1e-3)) if not said else (pytest.approx(0.957, abs=1e-3), 1.0)
    )
    for name in ("f1_macro", "balanced_accuracy", "log_loss", "roc_auc"):
        assert math.isnan(found[name].low) and math.isnan(found[name].high), name


@pytest.mark.parametrize("name", ["two, ties", "two, imbalanced", "three classes", "ten, imbalanced"])
def test_no_interval_leaves_the_range_of_its_metric_or_lacks_a_width(name):
    for metric, limits in quick(*case(name)).items():
        low, high = metric_of(f"test/{metric}").range
        assert math.isnan(limits.low) or low <= limits.low < limits.high <= high, metric


def test_two_models_are_resampled_in_pairs():
    probabilities, targets = case("three classes")
    settings = {"top_k": 2, "bins": 10, "resamples": 50, "seed": 3}
    one = bootstrap_module.resample(probabilities, targets, **settings)
    other = bootstrap_module.resample(probabilities[:, [1, 0, 2]], targets, **settings)
    columns = np.concatenate(list(bootstrap_weights(3, len(targets), 50)), axis=1)
    for drawn, answers in ((one, probabilities), (other, probabilities[:, [1, 0, 2]])):
        right = answers.argmax(axis=1) == targets
        assert drawn["accuracy"] == pytest.approx((right[:, None] * columns).sum(axis=0) / len(targets))


def test_wilson():
    # Newcombe (1998), table I: 81 of 263, 95%
    assert wilson(81, 263, 0.95) == Interval(pytest.approx(0.2553, abs=5e-5), pytest.approx(0.3662, abs=5e-5))
    assert wilson(10, 10, 0.95).high == 1.0
    assert wilson(0, 10, 0.95).low == 0.0
    assert wilson(10, 10, 0.95).low == pytest.approx(0.7225, abs=5e-5)


def test_wilson_stays_within_zero_and_one_whatever_the_rounding():
    for rows in range(1, 300, 7):
        assert wilson(0, rows, 0.95).low == 0.0 < wilson(0, rows, 0.95).high < 1.0
        assert wilson(rows, rows, 0.95).high == 1.0 > wilson(rows, rows, 0.95).low > 0.0


def test_a_thousand_resamples_of_ten_thousand_images_take_seconds():
    probabilities, targets = scores(10, [1000] * 10, 3.0, 0)
    start = time.process_time()
    quick(probabilities, targets, resamples=1000)
    assert time.process_time() - start < 15  # 0.8 s on a quiet core
