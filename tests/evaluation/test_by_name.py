"""One metric by its name: what the whole summary has, and those of one class."""

import math

import numpy as np
import pytest
import sklearn.metrics as reference

from src.core.errors import AssayError
from src.core.metric_names import MONITORED, PREDICTION, class_of, is_listed
from src.evaluation.metrics import classification
from src.evaluation.metrics.by_name import metric_value, refuse_unknown_classes
from tests.support.scores import CASES, case


@pytest.mark.parametrize("name", CASES)
def test_each_is_that_of_the_summary(name):
    probabilities, targets = case(name)
    classes = [f"c{index}" for index in range(probabilities.shape[1])]
    summary = classification.summary(probabilities, targets, top_k=2, bins=10)
    assert summary.keys() >= PREDICTION.keys() - {"loss", "top_k_accuracy"}
    for metric, value in summary.items():
        found = metric_value(f"val/{metric}", probabilities, targets, classes, top_k=2, bins=10)
        assert found == pytest.approx(value, nan_ok=True), metric


@pytest.mark.parametrize("metric", ["precision", "recall", "f1"])
def test_those_of_one_class_are_scikit_learns(metric):
    probabilities, targets = case("ten classes")
    function = getattr(reference, f"{metric}_score")
    expected = function(targets, probabilities.argmax(1), average=None, zero_division=0)
    classes = [f"class {index}" for index in range(10)]
    found = [metric_value(f"val/{metric}/{name}", probabilities, targets, classes) for name in classes]
    assert found == pytest.approx(list(expected))


def test_a_class_that_is_never_predicted_has_no_precision_and_one_without_images_no_recall():
    probabilities, targets = np.eye(3)[[0, 0, 2]], np.array([0, 1, 1])
    values = {
        name: metric_value(f"val/{name}", probabilities, targets, ["a", "b", "c"])
        for name in ("precision/b", "recall/b", "recall/c", "recall_min")
    }
    assert values["precision/b"] == values["recall/b"] == values["recall_min"] == 0
    assert math.isnan(values["recall/c"])


def test_unknown_classes_are_named_with_near_ones():
    refuse_unknown_classes(["val/accuracy", "val/recall/cat"], ["cat", "dog"])
    with pytest.raises(AssayError, match=r"val/f1/dogg: no class is called dogg \(did you mean dog\?\); the"):
        refuse_unknown_classes(["val/recall/cat", "val/f1/dogg"], ["cat", "dog"])


@pytest.mark.parametrize(
    ("name", "of_class", "listed"),
    [
        ("val/accuracy", None, True),
        ("val/recall/cat", "cat", True),
        ("val/precision/sea/shell", "sea/shell", True),
        ("val/recall", None, False),
        ("val/accuracy/cat", None, False),
        ("val/top_k_accuracy", None, False),  # depends on evaluate.top_k
        ("test/recall/cat", "cat", False),
        ("epoch/val/recall/cat", "cat", False),
    ],
)
def test_names_of_metrics_of_one_class(name, of_class, listed):
    assert class_of(name) == of_class
    assert is_listed(name, MONITORED) is listed
