"""Which trials are best, and which fields mattered."""

import random

import pytest

from src.core.errors import AssayError
from src.search.engine.constraints import violations
from src.search.engine.distributions import Categorical, Range
from src.search.engine.ranking import best, importance, pareto_front, ranked
from src.search.engine.records import Trial, TrialResult
from src.search.engine.space import SearchSpace
from tests.support.searches import SQUARE, make_plan

HIGHEST = {"val/accuracy": "maximize"}
SMALL_AND_GOOD = {"val/accuracy": "maximize", "model/parameters": "minimize"}


def trial(number, accuracy, loss=0.5, state="complete", reused=None, **sizes):
    metrics = {"val/accuracy": accuracy, "val/loss": loss}
    metrics |= {f"model/{name}": value for name, value in sizes.items()}
    return Trial(number, {"x": number / 10, "y": 0.5}, TrialResult(state, metrics, reason="nan"), reused)


def numbers(trials):
    return [each.number for each in trials]


def test_best_is_by_the_objective():
    trials = [trial(0, 0.8), trial(1, 0.9), trial(2, 0.7)]
    assert best(trials, HIGHEST, ()).number == 1
    assert best(trials, {"val/accuracy": "minimize"}, ()).number == 2


def test_equals_are_by_lower_loss_then_by_number():
    trials = [trial(0, 0.9, 0.4), trial(1, 0.9, 0.3), trial(2, 0.9, 0.3), trial(3, 0.8, 0.1)]
    assert best(trials, HIGHEST, ()).number == 1
    assert numbers(ranked(trials, make_plan())) == [1, 2, 0, 3]


def test_best_is_complete_and_no_copy():
    trials = [trial(0, 0.99, state="pruned"), trial(1, 0.98, state="failed"), trial(2, 0.5)]
    trials.append(trial(3, 0.5, reused=2))
    assert best(trials, HIGHEST, ()).number == 2
    assert numbers(ranked(trials, make_plan())) == [2]


def test_best_keeps_every_constraint():
    trials = [trial(0, 0.9, bytes=300), trial(1, 0.8, bytes=100), trial(2, 0.85, bytes=100), trial(3, 0.99)]
    assert best(trials, HIGHEST, ("model/bytes <= 200",)).number == 2
    assert best(trials, HIGHEST, ("model/bytes <= 2e2", "val/accuracy <= 0.82")).number == 1
    assert best(trials, HIGHEST, ("model/bytes >= 200",)).number == 0


def test_excess_is_a_share_of_the_bound():
    metrics = {"model/bytes": 300.0, "val/accuracy": 0.8}
    constraints = ("model/bytes <= 200", "val/accuracy >= 0.9", "val/loss <= 1", "model/bytes >= 0")
    over = violations(metrics, constraints)
    assert over["model/bytes <= 200"] == pytest.approx(0.5)
    assert over["val/accuracy >= 0.9"] == pytest.approx(1 / 9)
    assert over["val/loss <= 1"] == float("inf")
    assert over["model/bytes >= 0"] == -300


@pytest.mark.parametrize(
    ("trials", "reason"),
    [
        ([], "no complete trial"),
        (
            [trial(0, 0, state="failed"), trial(1, 0.1, state="pruned")],
            "1 of 2 failed.*The last failure: nan",
        ),
        ([trial(0, 0.9, bytes=300)], "1 complete trials, but none satisfies model/bytes <= 200"),
    ],
)
def test_no_best_is_an_error_with_the_reason(trials, reason):
    with pytest.raises(AssayError, match=reason):
        best(trials, HIGHEST, ("model/bytes <= 200",))


def test_front_is_what_nothing_beats():
    plan = make_plan(objectives=SMALL_AND_GOOD)
    trials = [
        trial(0, 0.9, parameters=500),
        trial(1, 0.8, parameters=100),
        trial(2, 0.8, parameters=200),  # beaten by 1
        trial(3, 0.95, parameters=900),
        trial(4, 0.9, parameters=500),  # equal to 0
        trial(5, 0.7, parameters=50, state="pruned"),
    ]
    assert numbers(pareto_front(trials, plan)) == [3, 0, 4, 1]
    assert numbers(ranked(trials, plan)) == [3, 0, 4, 1, 2]
    assert best(trials, SMALL_AND_GOOD, ()).number == 3


def test_best_of_several_objectives_is_on_the_front():
    trials = [trial(0, 0.9, 0.1, parameters=500), trial(1, 0.9, 0.2, parameters=400)]
    plan = make_plan(objectives=SMALL_AND_GOOD)
    assert best(trials, SMALL_AND_GOOD, ()) in pareto_front(trials, plan)


def sampled(function, count=40, space=SQUARE, seed=0):
    draw = random.Random(seed)
    settings = [{name: draw.random() for name in space.domains} for _ in range(count)]
    return [
        Trial(
            number,
            each,
            TrialResult("complete", {"val/accuracy": function(each), "model/parameters": each["y"]}),
        )
        for number, each in enumerate(settings)
    ]


@pytest.mark.parametrize("count", [8, 12, 40])
def test_importance_is_of_the_field_that_matters(count):
    shares = importance(sampled(lambda each: -abs(each["y"] - 0.5), count), make_plan())
    assert list(shares) == ["y", "x"]
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["y"] > 0.6


def test_importance_of_several_objectives_is_that_of_the_first():
    trials = sampled(lambda each: each["x"])
    both = importance(trials, make_plan(objectives=SMALL_AND_GOOD))
    assert both == importance(trials, make_plan())
    assert list(both) == ["x", "y"]
    other = importance(trials, make_plan(objectives={"model/parameters": "minimize"}))
    assert list(other) == ["y", "x"]


def test_importance_of_conditional_and_categorical_fields():
    space = SearchSpace(
        {"model": Categorical(("a", "b")), "x": Range(0.0, 1.0), "widths": Categorical(([8], [16]))},
        groups=("model",),
        present={("a",): frozenset({"x", "widths"}), ("b",): frozenset({"x"})},
    )
    draw = random.Random(0)
    trials = []
    for number in range(40):
        each = {"model": draw.choice("ab"), "x": draw.random()}
        each |= {"widths": draw.choice([[8], [16]])} if each["model"] == "a" else {}
        accuracy = (each["model"] == "b") + 0.01 * draw.random()
        trials.append(Trial(number, each, TrialResult("complete", {"val/accuracy": accuracy})))
    shares = importance(trials, make_plan(space))
    assert set(shares) == {"model", "x", "widths"}
    assert next(iter(shares)) == "model"


@pytest.mark.parametrize(
    "trials",
    [
        [],
        sampled(lambda each: each["x"], 3),
        sampled(lambda each: 0.5),
        [trial(number, 0.5 + number / 10, state="pruned") for number in range(8)],
        [Trial(n, {"x": 0.5, "y": 0.5}, TrialResult("complete", {"val/accuracy": n / 10})) for n in range(8)],
    ],
    ids=["none", "few", "equal", "pruned", "same settings"],
)
def test_importance_is_empty_where_nothing_can_be_said(trials):
    assert importance(trials, make_plan()) == {}


def test_importance_needs_four_trials_and_two_values():
    assert importance(sampled(lambda each: each["x"], 4), make_plan())
    assert next(iter(importance(sampled(lambda each: float(each["y"] > 0.5)), make_plan()))) == "y"


def test_the_last_failure_is_that_of_a_failed_trial():
    ends = [("failed", "first"), ("failed", "last"), ("pruned", "pruned after epoch 1")]
    trials = [Trial(n, {}, TrialResult(state, reason=reason)) for n, (state, reason) in enumerate(ends)]
    with pytest.raises(AssayError, match=r"no complete trial: 2 of 3 failed, .*\. The last failure: last$"):
        best(trials, HIGHEST, ())
    with pytest.raises(AssayError, match=r"0 of 1 failed, the others were pruned$"):
        best(trials[2:], HIGHEST, ())


def test_importance_is_a_function_of_the_trials():
    trials = sampled(lambda each: each["x"] + each["y"])
    assert repr(importance(trials, make_plan())) == repr(importance(trials, make_plan()))
