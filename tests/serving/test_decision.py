"""What a rule answers, against answers that were worked out on paper."""

import numpy as np
import pytest

from src.serving.decision import conformity_scores, decide, describe

CLASSES = ["cat", "dog", "owl"]
PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.45, 0.35, 0.2], [0.3, 0.3, 0.4], [0.0, 1.0, 0.0]])


def abstain(confidence):
    return {"method": "abstain", "confidence": confidence}


@pytest.mark.parametrize(
    ("confidence", "answers"),
    [
        (0.4, ["cat", "cat", "owl", "dog"]),
        (0.45, ["cat", "cat", None, "dog"]),  # an image at the threshold is answered
        (0.71, [None, None, None, "dog"]),
        (None, [None] * 4),
    ],
)
def test_abstention_answers_from_its_confidence_on(confidence, answers):
    assert decide(PROBABILITIES, CLASSES, abstain(confidence)) == answers


def test_each_class_has_its_own_threshold():
    thresholds = {"cat": 0.7, "dog": None, "owl": 0.4}
    rule = {"method": "thresholds", "of_class": None, "thresholds": thresholds}
    assert decide(PROBABILITIES, CLASSES, rule) == ["cat", None, "owl", None]


@pytest.mark.parametrize(
    ("threshold", "answers"),
    [
        (0.2, ["dog", "dog", "dog", "dog"]),
        (0.3, ["cat", "dog", "dog", "dog"]),
        (None, ["cat", "cat", "owl", "cat"]),  # of equal others the first
    ],
)
def test_the_class_of_interest_is_answered_wherever_it_reaches_its_threshold(threshold, answers):
    rule = {"method": "thresholds", "of_class": "dog", "thresholds": {"dog": threshold}}
    rule["stated"] = {"precision": 0.9}
    assert decide(PROBABILITIES, CLASSES, rule) == answers
    rule["stated"] = {"recall": 0.9}  # where the dog is the most probable class, it stays the answer
    assert decide(PROBABILITIES, CLASSES, rule) == [*answers[:3], "dog"]


def test_the_lowest_expected_cost_decides():
    """A missed owl costs 9: it is answered from a probability of 1/10 on, where the cat has the rest."""
    costs = {actual: {answer: float(actual != answer) for answer in CLASSES} for actual in CLASSES}
    rule = {"method": "costs", "costs": costs}
    assert decide(PROBABILITIES, CLASSES, rule) == ["cat", "cat", "owl", "dog"]
    costs["owl"] = {"cat": 9.0, "dog": 9.0, "owl": 0.0}
    sure = np.array([[0.91, 0.0, 0.09], [0.89, 0.0, 0.11]])
    assert decide(sure, CLASSES, rule) == ["cat", "owl"]
    costs["cat"]["owl"] = 2.0  # rows are the actual classes
    assert decide(sure, CLASSES, rule) == ["cat", "cat"]


def test_least_ambiguous_sets_have_the_classes_from_a_probability_on():
    rule = {"method": "conformal", "score": "lac", "quantile": 1 - 0.35}
    assert decide(PROBABILITIES, CLASSES, rule) == [["cat"], ["cat", "dog"], ["owl"], ["dog"]]
    assert decide(PROBABILITIES, CLASSES, rule | {"quantile": 0.5})[2] == []


def test_adaptive_sets_add_classes_until_they_have_the_mass():
    scores = conformity_scores(PROBABILITIES, "aps")
    np.testing.assert_allclose(scores[0], [0, 0.7, 0.9])
    np.testing.assert_allclose(scores[2], [0.4, 0.7, 0])  # of equal ones the first is ahead
    rule = {"method": "conformal", "score": "aps", "quantile": 0.5}
    assert decide(PROBABILITIES, CLASSES, rule) == [["cat"], ["cat", "dog"], ["owl", "cat"], ["dog"]]
    assert decide(PROBABILITIES, CLASSES, rule | {"quantile": 0.0})[2] == ["owl"]


def test_rules_are_described_as_they_decide():
    assert describe(abstain(0.93)) == "the most probable class from 0.93 on, else no answer"
    assert describe(abstain(None)) == "no answer to any image"
    rule = {"method": "thresholds", "of_class": "dog", "thresholds": {"dog": 0.3}}
    found = describe(rule | {"stated": {"precision": 0.9}})
    assert found == "dog from 0.3 on, else the most probable other class"
    assert describe(rule | {"stated": {"recall": 0.9}}) == "dog from 0.3 on, else the most probable class"
