"""Decision rules by what they do to images that they were fitted to, and to others."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as reference
from pydantic import ValidationError
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from src.core.errors import AssayError
from src.evaluation.fitted.decision import (
    coverage_curve,
    fit_rule,
    threshold_for_precision,
    threshold_for_recall,
)
from src.evaluation.report.decision import draw_coverage, publish_decision, rule_metrics
from src.evaluation.uncertainty.intervals import wilson
from src.serving.decision import decide
from tests.support.scores import CASES, case, make_decision, scores

SPLITS = 20


def names(probabilities):
    return [f"class {k}" for k in range(probabilities.shape[1])]


def fit(settings, probabilities, targets):
    return fit_rule(settings, probabilities, targets, names(probabilities), "val")


def predictions(rule, probabilities):
    """Class indices; -1 without an answer."""
    classes = names(probabilities)
    answers = decide(probabilities, classes, rule)
    return np.array([-1 if answer is None else classes.index(answer) for answer in answers])


@pytest.mark.parametrize("wanted", [0.5, 0.9, 0.95, 1.0])
@pytest.mark.parametrize("name", CASES)
def test_a_threshold_is_the_lowest_that_gives_the_precision(name, wanted):
    probabilities, targets = case(name)
    scored, hits = probabilities[:, 0], targets == 0
    found = threshold_for_precision(scored, hits, wanted)
    precision = {score: hits[scored >= score].mean() for score in np.unique(scored)}
    reached = [score for score, value in precision.items() if value >= wanted]
    lowest = min(reached, default=None)
    assert found == (0.0 if lowest == scored.min() else lowest)


@pytest.mark.parametrize("wanted", [0.3, 0.9, 0.95, 1.0])
@pytest.mark.parametrize("name", CASES)
def test_a_threshold_is_the_highest_that_gives_the_recall(name, wanted):
    probabilities, targets = case(name)
    scored, hits = probabilities[:, 0], targets == 0
    recall = {score: (scored[hits] >= score).mean() for score in np.unique(scored)}
    assert threshold_for_recall(scored, hits, wanted) == max(s for s, v in recall.items() if v >= wanted)


def test_nineteen_of_twenty_are_a_precision_of_095():
    """Not a little less, as in float32."""
    scored = np.linspace(0.9, 0.1, 40)
    hits = np.arange(40) < 19
    assert threshold_for_precision(scored, hits, 0.95) == scored[19]


@pytest.mark.parametrize("wanted", [0.6, 0.8, 0.95])
@pytest.mark.parametrize("name", ["three classes", "three, one missing", "ten, imbalanced", "ten, ties"])
def test_every_class_that_is_answered_has_the_precision(name, wanted):
    probabilities, targets = case(name)
    rule = fit(make_decision("thresholds", precision=wanted), probabilities, targets)
    chosen = predictions(rule, probabilities)
    for k, (label, threshold) in enumerate(rule["thresholds"].items()):
        answered = chosen == k
        assert answered.any() == (threshold is not None), label
        assert not answered.any() or (targets[answered] == k).mean() >= wanted, label
    assert (chosen >= 0).any() and (chosen == probabilities.argmax(axis=1))[chosen >= 0].all()


@pytest.mark.parametrize("stated", [{"recall": 0.95}, {"precision": 0.9}, {"recall": 1.0}])
def test_the_class_of_interest_has_what_was_stated(stated):
    probabilities, targets = case("ten, imbalanced")
    rule = fit(make_decision("thresholds", of_class="class 3", **stated), probabilities, targets)
    chosen = predictions(rule, probabilities)
    found = {
        "recall": reference.recall_score(targets == 3, chosen == 3),
        "precision": reference.precision_score(targets == 3, chosen == 3),
    }
    ((name, wanted),) = stated.items()
    assert found[name] >= wanted
    assert (chosen >= 0).all()
    if name == "recall":
        assert (chosen == 3)[probabilities.argmax(axis=1) == 3].all()


@pytest.mark.parametrize("wanted", [0.9, 0.99])
def test_what_is_answered_has_the_accuracy_and_no_more_could_be_answered(wanted):
    probabilities, targets = case("ten classes")
    rule = fit(make_decision("abstain", accuracy=wanted), probabilities, targets)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == targets
    answered = predictions(rule, probabilities) >= 0
    assert 0 < answered.sum() < len(targets)
    assert right[answered].mean() >= wanted
    for lower in np.unique(confidence[~answered]):
        assert right[confidence >= lower].mean() < wanted


def test_a_given_confidence_is_taken_as_it_is():
    probabilities, targets = case("three classes")
    rule = fit(make_decision("abstain", confidence=0.7), probabilities, targets)
    assert rule == {"method": "abstain", "confidence": 0.7}


def test_the_lowest_expected_cost_costs_least():
    """Of calibrated probabilities, whose targets are drawn from them."""
    random = np.random.default_rng(0)
    probabilities = random.dirichlet([0.5, 0.5, 0.5], size=4000)
    targets = (random.random((4000, 1)) > probabilities.cumsum(axis=1)).sum(axis=1)
    costs = {"class 2": {"class 0": 20.0, "class 1": 5.0}}
    rule = fit(make_decision("costs", costs=costs), probabilities, targets)
    found = rule_metrics(rule, probabilities, targets, names(probabilities), 0.95)
    matrix = np.array([[0, 1, 1], [1, 0, 1], [20, 5, 0]])
    chosen = (probabilities @ matrix).argmin(axis=1)
    assert found["mean_cost"] == pytest.approx(matrix[targets, chosen].mean())
    assert found["mean_cost"] < 0.75 * found["mean_cost_of_the_most_probable"]


def digit_probabilities():
    """Of a logistic regression that was trained on 600 digits, for the other 1,197."""
    images, targets = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(targets))
    trained, rest = order[:600], order[600:]
    model = LogisticRegression(C=0.01, max_iter=300).fit(images[trained] / 16, targets[trained])
    return model.predict_proba(images[rest] / 16), targets[rest]


@pytest.mark.parametrize("score", ["lac", "aps"])
@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
@pytest.mark.parametrize("source", ["synthetic", "digits"])
def test_sets_cover_as_often_as_stated_on_average(source, coverage, score):
    """Over random halves of held-out images: one fits the sets, and the other tests them."""
    probabilities, targets = (
        digit_probabilities() if source == "digits" else scores(5, [240] * 5, 1.0, 0, seed=7)
    )
    found, settings = [], make_decision("conformal", coverage=coverage, score=score)
    for seed in range(SPLITS):
        order = np.random.default_rng(seed).permutation(len(targets))
        fitting, testing = np.array_split(order, 2)
        rule = fit(settings, probabilities[fitting], targets[fitting])
        metrics = rule_metrics(rule, probabilities[testing], targets[testing], names(probabilities), 0.95)
        found.append(metrics["coverage"]["value"])
    assert np.mean(found) >= coverage - 0.012
    if score == "lac":  # sets of aps have at least one class, and cover more where that is right more often
        assert np.mean(found) <= coverage + 0.02


def test_the_quantile_is_the_score_of_rank_n_plus_one_times_coverage():
    """Of 9 images and 0.9, the largest of all; of 8 there is none."""
    probabilities, targets = scores(3, [3, 3, 3], 1.0, 0)
    own = np.sort(1 - probabilities[np.arange(9), targets])
    assert fit(make_decision("conformal", coverage=0.9), probabilities, targets)["quantile"] == own[8]
    assert fit(make_decision("conformal", coverage=0.8), probabilities, targets)["quantile"] == own[7]
    with pytest.raises(AssayError, match=r"coverage=0\.9 needs at least 9 images to fit it to, .* are 8"):
        fit(make_decision("conformal", coverage=0.9), probabilities[:8], targets[:8])


@pytest.mark.parametrize("name", CASES)
def test_the_coverage_curve_is_as_written_out(name):
    probabilities, targets = case(name)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == targets
    curve = coverage_curve(probabilities, targets)
    assert curve.confidence.tolist() == sorted(set(confidence.tolist()), reverse=True)[:500]
    for level, coverage, accuracy in zip(curve.confidence, curve.coverage, curve.accuracy, strict=True):
        assert coverage == (confidence >= level).mean()
        assert accuracy == pytest.approx(right[confidence >= level].mean())
    errors = [1 - right[confidence >= level].mean() for level in confidence]
    assert curve.area == pytest.approx(np.mean(errors))


def test_a_long_curve_is_thinned_but_its_area_is_of_all_images():
    probabilities, targets = scores(3, [1000, 1000, 1000], 1.0, 0)
    curve = coverage_curve(probabilities, targets)
    assert len(curve.coverage) == 500 and curve.coverage[-1] == 1
    right = (probabilities.argmax(axis=1) == targets)[np.argsort(-probabilities.max(axis=1))]
    assert curve.area == pytest.approx(np.mean(1 - np.cumsum(right) / np.arange(1, 3001)))
    assert curve.accuracy[-1] == pytest.approx(right.mean())


def test_a_class_that_never_reaches_the_precision_is_never_answered():
    probabilities, targets = scores(3, [30, 30, 30], 1.0, 0)
    targets = np.where(targets == 1, 2, targets)  # what looks like class 1 is class 2
    rule = fit(make_decision("thresholds", precision=0.8), probabilities, targets)
    assert rule["thresholds"]["class 1"] is None
    json.dumps(rule, allow_nan=False)
    assert 1 not in predictions(rule, probabilities)


def test_all_that_the_images_do_not_allow_is_named_at_once():
    probabilities, targets = case("three, one missing")
    costs = {"clas 0": {"class 1": 2.0}, "class 2": {"owl": 1.0}}
    with pytest.raises(AssayError) as caught:
        fit(make_decision("costs", costs=costs), probabilities, targets)
    assert "costs: no class is called clas 0 (did you mean class 0?)" in str(caught.value)
    assert "no class is called owl" in str(caught.value)
    with pytest.raises(AssayError, match="of_class=class 1: no image"):
        fit(make_decision("thresholds", of_class="class 1", recall=0.9), probabilities, targets)


@pytest.mark.parametrize(
    ("method", "changes", "field"),
    [
        ("thresholds", {}, "recall"),
        ("thresholds", {"precision": 0.9, "recall": 0.9, "of_class": "a"}, "recall"),
        ("thresholds", {"recall": 0.9}, "recall"),
        ("abstain", {}, "accuracy"),
        ("abstain", {"confidence": 0.9, "accuracy": 0.9}, "accuracy"),
    ],
)
def test_contradictions_are_refused(method, changes, field):
    with pytest.raises(ValidationError) as caught:
        make_decision(method, **changes)
    assert [error["loc"] for error in caught.value.errors()] == [(field,)]


def test_numbers_name_classes_too():
    assert make_decision("thresholds", of_class=3, recall=0.9).of_class == "3"
    assert make_decision("costs", costs={3: {8: 5.0}}).costs == {"3": {"8": 5.0}}


def test_the_report_of_a_rule_against_sklearn():
    probabilities, targets = case("ten classes")
    rule = {"method": "abstain", "confidence": 0.5}
    found = rule_metrics(rule, probabilities, targets, names(probabilities), 0.95)
    chosen = predictions(rule, probabilities)
    assert found["answered"]["value"] == (chosen >= 0).mean()
    assert found["accuracy_of_answered"]["value"] == (chosen == targets)[chosen >= 0].mean()
    table = pd.DataFrame(
        {
            name: {metric: share["value"] for metric, share in metrics.items()}
            for name, metrics in found["classes"].items()
        }
    ).T
    settings = {"labels": range(10), "average": None}
    np.testing.assert_allclose(table["recall"], reference.recall_score(targets, chosen, **settings))
    np.testing.assert_allclose(table["precision"], reference.precision_score(targets, chosen, **settings))


@pytest.mark.parametrize("metric", ["precision", "recall"])
def test_the_precision_or_recall_that_was_asked_for_is_reported_with_its_interval(tmp_path, metric):
    probabilities, targets = case("ten classes")
    classes = names(probabilities)
    tested = SimpleNamespace(probabilities=probabilities, targets=targets, classes=classes)
    rule = fit(make_decision("thresholds", of_class="class 8", **{metric: 0.8}), probabilities, targets)
    _, sentence = publish_decision(tmp_path, rule, tested, tested, 0.9)
    score = {"precision": reference.precision_score, "recall": reference.recall_score}[metric]
    value = score(targets, predictions(rule, probabilities), labels=[8], average=None)[0]
    found = json.loads((tmp_path / "decision.json").read_text())["test"]["classes"]["class 8"]
    rows = {"precision": predictions(rule, probabilities) == 8, "recall": targets == 8}[metric].sum()
    limits = wilson(round(value * rows), rows, 0.9)
    assert found[metric] == {"value": pytest.approx(value), "low": limits.low, "high": limits.high}
    shown = f"{value:.4f} (90% interval {limits.low:.3f} to {limits.high:.3f})"
    assert f"class 8 has {metric} {shown}, where 0.8 was asked for, and " in sentence


def test_a_class_that_is_never_answered_has_no_precision(tmp_path):
    probabilities, targets = case("ten classes")
    tested = SimpleNamespace(probabilities=probabilities, targets=targets, classes=names(probabilities))
    rule = {"method": "thresholds", "of_class": "class 8", "thresholds": {"class 8": None}}
    _, sentence = publish_decision(tmp_path, {**rule, "stated": {"precision": 0.9}}, tested, tested, 0.95)
    assert "class 8 has no precision (it is never answered), where 0.9 was asked for" in sentence
    assert (
        json.loads((tmp_path / "decision.json").read_text())["test"]["classes"]["class 8"]["precision"]
        is None
    )


@pytest.mark.parametrize(("asked", "short"), [(0.0001, False), (1.0, True)])
def test_classes_short_of_the_precision_asked_for_are_named(tmp_path, asked, short):
    probabilities, targets = case("ten classes")
    classes = names(probabilities)
    tested = SimpleNamespace(probabilities=probabilities, targets=targets, classes=classes)
    rule = {"method": "thresholds", "of_class": None, "thresholds": dict.fromkeys(classes, 0.0)}
    _, sentence = publish_decision(tmp_path, {**rule, "stated": {"precision": asked}}, tested, tested, 0.95)
    precision = reference.precision_score(targets, probabilities.argmax(axis=1), average=None)
    lacking = [name for name, value in zip(classes, precision, strict=True) if value < asked]
    assert bool(lacking) == short
    assert sentence.endswith(
        f"short of it: {', '.join(lacking)}" if short else "every class that is answered has it"
    )


@pytest.mark.parametrize(
    ("settings", "end"),
    [({"accuracy": 0.9}, "correctly; 0.9 was asked for"), ({"confidence": 0.5}, "correctly")],
)
def test_the_accuracy_that_abstention_was_asked_for_is_reported(tmp_path, settings, end):
    probabilities, targets = case("ten classes")
    tested = SimpleNamespace(probabilities=probabilities, targets=targets, classes=names(probabilities))
    rule = fit(make_decision("abstain", **settings), probabilities, targets)
    assert publish_decision(tmp_path, rule, tested, tested, 0.95)[1].endswith(end)


def test_a_curve_without_an_answered_image_can_be_drawn(tmp_path):
    probabilities, targets = case("two classes")
    metrics = rule_metrics(
        {"method": "abstain", "confidence": None}, probabilities, targets, ["a", "b"], 0.95
    )
    assert metrics["accuracy_of_answered"] is None
    assert draw_coverage(tmp_path / "c.png", coverage_curve(probabilities, targets), metrics).stat().st_size
