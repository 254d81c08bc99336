"""Curves agree with scikit-learn, and stay so after thinning."""

import numpy as np
import pytest
import sklearn.metrics as reference

from src.evaluation.metrics.curves import (
    Curve,
    _thin,
    macro_pr,
    macro_roc,
    points_each,
    pr_curves,
    roc_curves,
)
from tests.support.scores import case, scores

TEN = [f"c{index}" for index in range(10)]


@pytest.mark.parametrize("name", ["ten classes", "ten, imbalanced", "ten, ties"])
def test_roc_agrees(name):
    probabilities, targets = case(name)
    for index, curve in enumerate(roc_curves(probabilities, targets, TEN)):
        x, y, _ = reference.roc_curve(targets == index, probabilities[:, index], drop_intermediate=False)
        expected = set(zip(x.round(12), y.round(12), strict=True))
        assert set(zip(curve.x.round(12), curve.y.round(12), strict=True)) <= expected
        assert reference.auc(curve.x, curve.y) == pytest.approx(reference.auc(x, y), abs=1e-12)
        assert curve.area == pytest.approx(reference.auc(x, y), abs=1e-12)


@pytest.mark.parametrize("name", ["ten classes", "ten, imbalanced", "ten, ties"])
def test_pr_agrees(name):
    probabilities, targets = case(name)
    for index, curve in enumerate(pr_curves(probabilities, targets, TEN)):
        y, x, _ = reference.precision_recall_curve(targets == index, probabilities[:, index])
        expected = set(zip(x.round(12), y.round(12), strict=True))
        assert set(zip(curve.x.round(12), curve.y.round(12), strict=True)) <= expected
        assert (np.diff(curve.x) >= 0).all()
        assert curve.area == pytest.approx(
            reference.average_precision_score(targets == index, probabilities[:, index])
        )


def test_large_test_sets_are_thinned_with_little_loss():
    probabilities, targets = scores(3, [5000] * 3, 1.0, 0)
    for index, curve in enumerate(roc_curves(probabilities, targets, ["a", "b", "c"])):
        exact = reference.roc_auc_score(targets == index, probabilities[:, index])
        assert 300 < len(curve.x) <= 500
        assert (curve.x[0], curve.y[0], curve.x[-1], curve.y[-1]) == (0, 0, 1, 1)
        assert reference.auc(curve.x, curve.y) == pytest.approx(exact, abs=2e-4)


def test_points_of_all_curves_together_are_bounded():
    assert [points_each(classes) for classes in (2, 10, 100, 1000)] == [500, 500, 50, 20]


def test_two_classes_have_one_curve():
    probabilities, targets = case("two classes")
    assert [curve.name for curve in roc_curves(probabilities, targets, ["cat", "dog"])] == ["dog"]
    assert [curve.name for curve in pr_curves(probabilities, targets, ["cat", "dog"])] == ["dog"]


def test_missing_classes_have_no_curve():
    probabilities, targets = case("ten, three missing")
    names = [curve.name for curve in roc_curves(probabilities, targets, TEN)]
    assert names == ["c0", "c2", "c3", "c5", "c6", "c8", "c9"]


def test_one_class_alone_has_no_roc():
    probabilities, targets = scores(3, [0, 20, 0], 1.0, 0)
    assert roc_curves(probabilities, targets, ["a", "b", "c"]) == []
    assert [curve.name for curve in pr_curves(probabilities, targets, ["a", "b", "c"])] == ["b"]


def test_macro_averages_have_the_mean_area():
    probabilities, targets = case("ten classes")
    roc, pr = roc_curves(probabilities, targets, TEN), pr_curves(probabilities, targets, TEN)
    mean_roc, mean_pr = macro_roc(roc), macro_pr(pr)
    assert mean_roc.area == pytest.approx(np.mean([curve.area for curve in roc]))
    assert reference.auc(mean_roc.x, mean_roc.y) == pytest.approx(mean_roc.area, abs=0.01)
    assert np.mean(mean_pr.y[1:]) == pytest.approx(mean_pr.area, abs=0.01)


def test_a_macro_roc_begins_at_the_origin_and_is_the_mean():
    perfect = Curve("a", np.array([0.0, 0.0, 1.0]), np.array([0.0, 1.0, 1.0]), 1.0)
    chance = Curve("b", np.array([0.0, 1.0]), np.array([0.0, 1.0]), 0.5)
    mean = macro_roc([perfect, chance])
    assert (mean.x[0], mean.y[0]) == (0.0, 0.0)
    assert np.array_equal(mean.x[1:], np.linspace(0, 1, 201))
    assert mean.y[1:] == pytest.approx((1 + mean.x[1:]) / 2)


def test_a_macro_precision_is_that_of_the_first_point_with_enough_recall():
    steps = Curve("a", np.array([0.0, 0.5, 1.0]), np.array([1.0, 0.8, 0.4]), 0.6)
    mean = macro_pr([steps])
    assert np.array_equal(mean.x, np.linspace(0, 1, 201))
    assert mean.y[0] == 1.0
    assert mean.y[1:101].tolist() == [0.8] * 100, "at a recall of 0.5 too"
    assert mean.y[101:].tolist() == [0.4] * 100


def test_points_on_a_line_are_dropped_and_corners_kept():
    sure = np.linspace(0, 1, 40)
    (curve,) = roc_curves(np.stack([1 - sure, sure], axis=1), (sure > 0.5).astype(np.int64), ["a", "b"])
    assert (curve.x.tolist(), curve.y.tolist()) == ([0.0, 0.0, 1.0], [0.0, 1.0, 1.0])


def test_thinning_keeps_corners_and_turns_and_drops_what_lies_on_a_line():
    x = np.array([0.0, 0.25, 0.5, 0.5, 0.5, 1.0])
    y = np.array([0.0, 0.25, 0.5, 0.3, 0.4, 0.4])  # a line, a corner, a turn, a corner
    kept = _thin(x, y, most=10)
    np.testing.assert_array_equal(kept, np.delete([x, y], 1, axis=1))
