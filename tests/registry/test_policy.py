"""The policy's choice: best by one metric within the constraints, whatever the order, with reasons."""

from dataclasses import replace
from itertools import permutations

import pytest
from pydantic import ValidationError

from src.config.schema.register import Policy
from src.registry.policy import Candidate, choose

LATENCY, BYTES, ACCURACY, CHANGE = (
    "speed/latency_p50_ms",
    "model/bytes",
    "val/accuracy",
    "val/accuracy/change",
)
ANY = Policy(optimize=LATENCY, constraints=[])


def candidate(name: str, change: float, latency: float, size: int) -> Candidate:
    return Candidate(name, {ACCURACY: 0.98 + change, CHANGE: change, LATENCY: latency, BYTES: size})


FLOAT = candidate("float", change=0.0, latency=2.0, size=4000)
QUICK = candidate("quick", change=-0.02, latency=0.5, size=1500)
SMALL = candidate("small", change=-0.004, latency=1.0, size=1000)
BROKEN = Candidate("broken", {}, failure="it has no convolution")


def changed(one: Candidate, **changes: float) -> Candidate:
    """The candidate with other metrics, by the last part of their names."""
    names = {name.rsplit("/", 1)[-1]: name for name in one.metrics}
    return replace(one, metrics={**one.metrics, **{names[key]: value for key, value in changes.items()}})


@pytest.mark.parametrize(
    ("optimize", "constraints", "expected"),
    [
        (LATENCY, [], "quick"),
        (BYTES, [], "small"),
        (ACCURACY, [], "float"),
        (LATENCY, [f"{CHANGE} >= -0.005"], "small"),
        (ACCURACY, [f"{LATENCY} <= 1.5"], "small"),
        (ACCURACY, [f"{BYTES}<=3999"], "small"),
        (LATENCY, [f"{CHANGE} >= 0.0"], "float"),
        (LATENCY, [f"{CHANGE} >= -0.005", f"{LATENCY} <= 0.9"], None),
    ],
)
def test_the_best_within_the_constraints(optimize, constraints, expected):
    policy = Policy(optimize=optimize, constraints=constraints)
    for candidates in permutations([FLOAT, QUICK, SMALL, BROKEN]):
        choice = choose(candidates, policy)
        assert choice.name == expected
        assert choice.excluded["broken"] == "failed: it has no convolution"


def test_each_exclusion_names_value_and_constraint():
    constraints = [f"{CHANGE} >= -0.005", f"{LATENCY} <= 1.5", f"{BYTES} <= 1200"]
    choice = choose([FLOAT, QUICK, SMALL], Policy(optimize=LATENCY, constraints=constraints))
    assert choice.name == "small"
    assert choice.reason == "speed/latency_p50_ms is 1 ms, the only variant within the constraints"
    assert choice.excluded == {
        "float": "speed/latency_p50_ms is 2 ms, but must be speed/latency_p50_ms <= 1.5; "
        "model/bytes is 4,000 bytes, but must be model/bytes <= 1200",
        "quick": "val/accuracy/change is -0.02, but must be val/accuracy/change >= -0.005; "
        "model/bytes is 1,500 bytes, but must be model/bytes <= 1200",
    }


def test_a_value_exactly_at_the_bound_meets_it():
    change = 0.975 - 0.98
    assert change < -0.005  # as binary fractions have it
    policy = Policy(optimize=LATENCY, constraints=[f"{CHANGE} >= -0.005"])
    assert choose([changed(QUICK, change=change)], policy).name == "quick"


def test_nothing_within_the_constraints_is_reported():
    choice = choose([FLOAT, BROKEN], Policy(optimize=BYTES, constraints=[f"{BYTES} <= 10"]))
    assert (choice.name, sorted(choice.excluded)) == (None, ["broken", "float"])
    assert choice.reason == "no variant meets the constraints of register.policy (2 were considered)"


@pytest.mark.parametrize("missing", [LATENCY, BYTES, ACCURACY])
def test_what_was_not_measured_is_not_chosen(missing):
    rest = {name: value for name, value in QUICK.metrics.items() if name != missing}
    choice = choose([replace(QUICK, metrics=rest), SMALL], ANY)
    expected = {"quick": f"not measured: {missing} (dvc repro compare benchmark)"}
    assert (choice.name, choice.excluded) == ("small", expected)
    assert choose([changed(QUICK, latency_p50_ms=float("nan")), SMALL], ANY).name == "small"


def test_ties_are_broken_by_a_fixed_order_and_then_by_name():
    twin = replace(QUICK, name="a twin")
    better = replace(changed(QUICK, accuracy=0.98), name="z")
    smaller = replace(changed(QUICK, bytes=1), name="y")
    for candidates in permutations([QUICK, twin, smaller]):
        assert choose(candidates, ANY).name == "y"
    assert choose([QUICK, smaller, better], ANY).name == "z"  # accuracy before bytes
    assert choose([QUICK, twin], ANY).name == choose([twin, QUICK], ANY).name == "a twin"


def test_metrics_of_test_images_never_reach_the_policy():
    seen = Candidate.of("one", {"test/accuracy": 1.0, ACCURACY: 0.9, "cv/accuracy": 0.8, LATENCY: 1.0})
    assert seen.metrics == {ACCURACY: 0.9, LATENCY: 1.0}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("optimize", "test/accuracy", "must be a metric of val/, model/, speed/, but got test/accuracy"),
        ("optimize", "val/acuracy", "val/acuracy is not a metric"),
        ("optimize", "val/mcnemar_p", "neither better high nor better low"),
        ("constraints", ["val/accuracy = 1"], "must be a metric, <= or >=, and a number"),
        ("constraints", ["test/accuracy >= 0.9"], "must be a metric of val/, model/, speed/"),
    ],
)
def test_a_policy_names_metrics_that_may_decide(field, value, message):
    with pytest.raises(ValidationError, match=message):
        Policy(**{"optimize": LATENCY, "constraints": [], field: value})
