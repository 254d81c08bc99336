"""The policy's choice: best at one thing within the budgets, whatever the order, with reasons."""

from dataclasses import replace
from itertools import permutations

import pytest

from src.config.schema.register import Policy
from src.registry.policy import Candidate, choose

ANY = Policy(optimize="latency", max_accuracy_drop=None, max_latency_ms=None, max_bytes=None)
FLOAT = Candidate("float", accuracy_change=0.0, latency_ms=2.0, bytes=4000)
QUICK = Candidate("quick", accuracy_change=-0.02, latency_ms=0.5, bytes=1500)
SMALL = Candidate("small", accuracy_change=-0.004, latency_ms=1.0, bytes=1000)
BROKEN = Candidate("broken", None, None, None, status="failed", reason="it has no convolution")


@pytest.mark.parametrize(
    ("optimize", "drop", "latency", "size", "expected"),
    [
        ("latency", None, None, None, "quick"),
        ("bytes", None, None, None, "small"),
        ("accuracy", None, None, None, "float"),
        ("latency", 0.005, None, None, "small"),
        ("accuracy", None, 1.5, None, "small"),
        ("accuracy", None, None, 3999, "small"),
        ("latency", 0.0, None, None, "float"),
        ("latency", 0.005, 0.9, None, None),
    ],
)
def test_the_best_within_the_budgets(optimize, drop, latency, size, expected):
    policy = Policy(optimize=optimize, max_accuracy_drop=drop, max_latency_ms=latency, max_bytes=size)
    for candidates in permutations([FLOAT, QUICK, SMALL, BROKEN]):
        choice = choose(candidates, policy)
        assert choice.name == expected
        assert choice.excluded["broken"] == "failed: it has no convolution"


def test_each_exclusion_names_rule_and_value():
    policy = Policy(optimize="latency", max_accuracy_drop=0.005, max_latency_ms=1.5, max_bytes=1200)
    choice = choose([FLOAT, QUICK, SMALL], policy)
    assert choice.name == "small"
    assert choice.reason == "fastest (1 ms for one image), the only variant within the budgets"
    assert choice.excluded == {
        "float": "2 ms for one image, above max_latency_ms=1.5; 4,000 bytes, above max_bytes=1,200",
        "quick": "0.0200 less accurate than the base, above max_accuracy_drop=0.005; "
        "1,500 bytes, above max_bytes=1,200",
    }


def test_a_drop_of_just_the_budget_keeps_it():
    policy = Policy(optimize="latency", max_accuracy_drop=0.005, max_latency_ms=None, max_bytes=None)
    change = 0.975 - 0.98
    assert -change > 0.005  # as binary fractions have it
    assert choose([replace(QUICK, accuracy_change=change)], policy).name == "quick"


def test_nothing_within_the_budgets_is_said_plainly():
    policy = Policy(optimize="bytes", max_accuracy_drop=None, max_latency_ms=None, max_bytes=10)
    choice = choose([FLOAT, BROKEN], policy)
    assert (choice.name, sorted(choice.excluded)) == (None, ["broken", "float"])
    assert choice.reason == "no variant keeps the budgets of register.policy (2 were looked at)"


@pytest.mark.parametrize("missing", ["latency_ms", "bytes", "accuracy_change"])
def test_what_was_not_measured_is_not_chosen(missing):
    choice = choose([replace(QUICK, **{missing: None}), SMALL], ANY)
    assert (choice.name, choice.excluded) == (
        "small", {"quick": "it was not measured: dvc repro compare benchmark"}
    )  # fmt: skip
    assert choose([replace(QUICK, latency_ms=float("nan")), SMALL], ANY).name == "small"


def test_equals_are_told_apart_by_a_fixed_order_and_then_by_name():
    twin = replace(QUICK, name="a twin")
    better = replace(QUICK, name="z", accuracy_change=0.0)
    smaller = replace(QUICK, name="y", bytes=1)
    for candidates in permutations([QUICK, twin, smaller]):
        assert choose(candidates, ANY).name == "y"
    assert choose([QUICK, smaller, better], ANY).name == "z"  # accuracy before bytes
    assert choose([QUICK, twin], ANY).name == choose([twin, QUICK], ANY).name == "a twin"
