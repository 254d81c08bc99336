"""Every figure agrees with scikit-learn, and what is undefined is said to be."""

import math
import warnings

import numpy as np
import pytest
import sklearn.metrics as reference
import torch

from src.evaluation.metrics import classification
from src.evaluation.metrics.calibration import calibration_error, reliability
from tests.support.scores import CASES, case, scores

EXACT = {"rel": 1e-12, "abs": 1e-12}
RANKED = {"rel": 1e-9, "abs": 1e-9}


def present(targets):
    return np.unique(targets)


def one_against_rest(function, probabilities, targets):
    """Mean over the classes that are there; of two classes that of the second."""
    if probabilities.shape[1] == 2:
        return function(targets == 1, probabilities[:, 1])
    return np.mean([function(targets == k, probabilities[:, k]) for k in present(targets)])


@pytest.fixture(params=CASES)
def predictions(request):
    return case(request.param)


def test_counted_figures(predictions):
    probabilities, targets = predictions
    predicted = probabilities.argmax(axis=1)
    figures = classification.summary(probabilities, targets, top_k=3, bins=15)
    expected = {
        "accuracy": reference.accuracy_score(targets, predicted),
        "cohen_kappa": reference.cohen_kappa_score(targets, predicted),
        "matthews": reference.matthews_corrcoef(targets, predicted),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # classes predicted but not there
        expected["balanced_accuracy"] = reference.balanced_accuracy_score(targets, predicted)
    for average in ("macro", "weighted"):
        values = reference.precision_recall_fscore_support(
            targets, predicted, labels=present(targets), average=average, zero_division=0
        )
        names = [f"precision_{average}", f"recall_{average}", f"f1_{average}"]
        expected |= dict(zip(names, values[:3], strict=True))
    assert {name: figures[name] for name in expected} == pytest.approx(expected, **EXACT)


def test_ranked_figures(predictions):
    probabilities, targets = predictions
    figures = classification.summary(probabilities, targets, top_k=3, bins=15)
    assert figures["roc_auc"] == pytest.approx(
        one_against_rest(reference.roc_auc_score, probabilities, targets), **RANKED
    )
    assert figures["average_precision"] == pytest.approx(
        one_against_rest(reference.average_precision_score, probabilities, targets), **RANKED
    )


def test_scored_figures(predictions):
    probabilities, targets = predictions
    labels = np.arange(probabilities.shape[1])
    figures = classification.summary(probabilities, targets, top_k=3, bins=15)
    assert figures["log_loss"] == pytest.approx(
        reference.log_loss(targets, probabilities, labels=labels), **EXACT
    )
    assert figures["brier"] == pytest.approx(
        reference.brier_score_loss(targets, probabilities, labels=labels, scale_by_half=False), **EXACT
    )


def test_each_class(predictions):
    probabilities, targets = predictions
    classes = probabilities.shape[1]
    predicted = probabilities.argmax(axis=1)
    values = reference.precision_recall_fscore_support(
        targets, predicted, labels=np.arange(classes), zero_division=np.nan
    )
    single = classification.per_class(classification.count(targets, predicted, classes))
    missing = np.setdiff1d(np.arange(classes), targets)
    assert single["precision"] == pytest.approx(values[0], nan_ok=True, **EXACT)
    assert single["recall"] == pytest.approx(values[1], nan_ok=True, **EXACT)
    assert np.isnan(single["f1"][missing]).all()
    rest = present(targets)
    assert single["f1"][rest] == pytest.approx(values[2][rest], **EXACT)


def test_confusion(predictions):
    probabilities, targets = predictions
    labels = np.arange(probabilities.shape[1])
    predicted = classification.predict(probabilities)
    assert np.array_equal(
        classification.confusion(targets, predicted, len(labels)),
        reference.confusion_matrix(targets, predicted, labels=labels),
    )


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize("name", ["ten classes", "ten, imbalanced"])
def test_top_k(name, k):
    probabilities, targets = case(name)
    expected = reference.top_k_accuracy_score(targets, probabilities, k=k, labels=np.arange(10))
    assert classification.summary(probabilities, targets, k, 15)["top_k_accuracy"] == expected


def test_top_k_of_equal_probabilities_takes_the_first():
    probabilities = np.full((4, 4), 0.25)
    assert classification.top_hits(probabilities, np.arange(4), 2).tolist() == [True, True, False, False]


def test_top_k_that_would_always_be_right_is_left_out():
    probabilities, targets = case("three classes")
    assert "top_k_accuracy" not in classification.summary(probabilities, targets, 3, 15)
    notes = classification.undefined_reasons({}, targets, ["a", "b", "c"], 3)
    assert notes["top_k_accuracy"] == "left out: k = 3 of 3 classes would always be 1"


@pytest.mark.parametrize("name", ["two classes", "three classes", "ten, imbalanced"])
@pytest.mark.parametrize("bins", [5, 15])
def test_calibration_error_agrees_with_torchmetrics(name, bins):
    from torchmetrics.functional.classification import multiclass_calibration_error

    probabilities, targets = case(name)
    expected = multiclass_calibration_error(
        torch.from_numpy(probabilities), torch.from_numpy(targets), probabilities.shape[1], bins
    )
    assert calibration_error(probabilities, targets, bins) == pytest.approx(float(expected), abs=1e-6)


@pytest.mark.parametrize("name", ["two classes", "three classes", "ten, imbalanced"])
def test_reliability_agrees_with_scikit_learn(name):
    from sklearn.calibration import calibration_curve

    probabilities, targets = case(name)
    right = probabilities.argmax(axis=1) == targets
    accuracy, confidence = calibration_curve(right, probabilities.max(axis=1), n_bins=10)
    table = reliability(probabilities, targets, 10)
    assert table.images.sum() == len(targets)
    assert table.accuracy[table.images > 0] == pytest.approx(accuracy)
    assert table.confidence[table.images > 0] == pytest.approx(confidence)
    assert np.isnan(table.accuracy[table.images == 0]).all()


def test_bins_have_equal_widths_and_contain_their_lower_edge():
    probabilities = np.array([[1.0, 0.0], [0.75, 0.25], [0.5, 0.5], [0.74, 0.26]])
    table = reliability(probabilities, np.array([0, 1, 0, 0]), 4)
    assert (table.low.tolist(), table.high.tolist()) == ([0.0, 0.25, 0.5, 0.75], [0.25, 0.5, 0.75, 1.0])
    assert table.images.tolist() == [0, 0, 2, 2]
    assert table.accuracy[2:].tolist() == [1.0, 0.5]
    assert table.confidence[2:].tolist() == [0.62, 0.875]
    assert np.isnan(table.accuracy[:2]).all() and np.isnan(table.confidence[:2]).all()


def test_full_confidence_falls_into_the_last_bin():
    table = reliability(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0, 0]), 4)
    assert table.images.tolist() == [0, 0, 0, 2]
    assert table.accuracy[-1] == 0.5


def test_missing_class_is_a_stated_gap():
    probabilities, targets = case("three, one missing")
    area = classification.curve_areas(probabilities, targets)
    assert np.isnan(area["roc_auc"]).tolist() == [False, True, False]
    assert np.isnan(area["average_precision"]).tolist() == [False, True, False]
    notes = classification.undefined_reasons(
        classification.summary(probabilities, targets, 2, 15), targets, ["a", "b", "c"], 2
    )
    assert notes == {"macro": "macro averages cover 2 of 3 classes; no test images of: b"}


@pytest.mark.parametrize("only", [0, 1])
def test_one_class_alone(only):
    probabilities, targets = scores(2, [20 * (only == 0), 20 * (only == 1)], 9.0, 0)
    figures = classification.summary(probabilities, targets, 2, 15)
    undefined = {name for name, value in figures.items() if math.isnan(value)}
    # of two classes the second one is positive; it has its precision-recall curve if it is there
    assert undefined == {"roc_auc", "cohen_kappa", "matthews"} | (
        {"average_precision"} if only == 0 else set()
    )
    notes = classification.undefined_reasons(figures, targets, ["cat", "dog"], 2)
    assert undefined < notes.keys()
    assert all(notes[name].startswith("undefined: ") for name in undefined)


def test_class_that_is_never_predicted():
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]])
    counts = classification.count(np.array([0, 0, 1]), classification.predict(probabilities), 2)
    single = classification.per_class(counts)
    assert single["precision"][0] == pytest.approx(2 / 3)
    assert np.isnan(single["precision"][1])
    assert single["f1"].tolist() == pytest.approx([0.8, 0.0])
    assert classification.from_counts(counts)["precision_macro"] == pytest.approx(1 / 3)


def test_probabilities_of_extreme_logits_are_finite():
    logits = np.array([[1e4, -1e4, 0], [-3e38, 3e38, 0]], dtype=np.float32)
    probabilities = classification.softmax(logits)
    assert probabilities.tolist() == [[1, 0, 0], [0, 1, 0]]
    assert np.isfinite(classification.log_losses(probabilities, np.array([1, 0]))).all()


@pytest.mark.parametrize("probability", [1.0, 0.5, 1e-3, 1e-15])
def test_the_loss_of_an_improbable_class_is_not_cut(probability):
    loss = classification.log_losses(np.array([[probability, 1 - probability]]), np.array([0]))
    assert loss.tolist() == pytest.approx([-np.log(probability)], rel=1e-12)


def test_the_loss_of_an_impossible_class_is_that_of_the_smallest_probability():
    losses = classification.log_losses(np.array([[0.0, 1.0]]), np.array([0]))
    assert losses.tolist() == [-np.log(np.finfo(np.float64).eps)], "as in scikit-learn"


def test_default_type_is_restored():
    classification.curve_areas(*case("three classes"))
    assert torch.get_default_dtype() == torch.float32


@pytest.mark.parametrize("labels", [[0, 1, 5], [0, 1, -1]])
def test_labels_without_a_class_are_refused(labels):
    good, bad = np.array([0, 1, 2]), np.array(labels)
    for targets, predicted in ((good, bad), (bad, good)):
        with pytest.raises(ValueError, match="labels must be from 0 to 2"):
            classification.confusion(targets, predicted, 3)


def test_small_integers_do_not_overflow():
    found = classification.confusion(np.array([20], np.uint8), np.array([29], np.uint8), 30)
    assert found[20, 29] == found.sum() == 1


def test_no_rows_are_no_counts():
    empty = np.array([], np.int64)
    assert classification.confusion(empty, empty, 3).sum() == 0
