"""The policy's choice: the best of those that may be chosen, and why; neither order nor noise decides."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.metrics import f1_score, recall_score

from src.config.schema.register import Policy
from src.leaderboard.comparison.non_inferiority import NonInferiorityRule, Verdict
from src.registry import policy as policy_module
from src.registry.policy import Candidate, Choice
from src.registry.promotion import ValidationEvidence
from src.registry.variant_answers import VariantAnswers, validation_metrics

LATENCY, BYTES, ACCURACY, CHANGE = (
    "speed/latency_p50_ms",
    "model/bytes",
    "val/accuracy",
    "val/accuracy/change",
)
UNIT = "must be above 0 and below 1, in the unit of val/accuracy, where 0.02 is two points, but got"
TIES = [ACCURACY, LATENCY, BYTES]


def policy_of(optimize: str = LATENCY, constraints: Sequence[str] = (), ties: Sequence[str] = TIES) -> Policy:
    return Policy(
        metric=ACCURACY,
        margin=0.02,
        level=0.05,
        optimize=optimize,
        constraints=list(constraints),
        tie_breakers=list(ties),
    )


def choose(candidates: Iterable[Candidate], policy: Policy, *inferior: str) -> Choice:
    """With a verdict on each, as if all but those were non-inferior to the base."""
    verdicts = {each.name: verdict(each.name not in inferior) for each in candidates}
    return policy_module.choose(list(candidates), policy, verdicts)


def verdict(passed: bool) -> Verdict:
    return Verdict(passed, 0.01, 0.015 if passed else 0.03, 0.05, "the numbers")


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
        (LATENCY, [f"{LATENCY} >= 0.5", f"{LATENCY} <= 0.5"], "quick"),
        (LATENCY, [f"{LATENCY} <= 0.49999"], None),
        (LATENCY, [f"{LATENCY} >= 2.00001"], None),
        (LATENCY, [f"{CHANGE} >= -0.005", f"{LATENCY} <= 0.9"], None),
    ],
)
def test_the_best_within_the_constraints(optimize, constraints, expected):
    policy = policy_of(optimize, constraints)
    for candidates in permutations([FLOAT, QUICK, SMALL, BROKEN]):
        choice = choose(candidates, policy)
        assert choice.name == expected
        assert choice.excluded["broken"] == "failed: it has no convolution"


def test_each_exclusion_names_value_and_constraint():
    constraints = [f"{CHANGE} >= -0.005", f"{LATENCY} <= 1.5", f"{BYTES} <= 1200"]
    choice = choose([FLOAT, QUICK, SMALL], policy_of(constraints=constraints))
    assert choice.name == "small"
    assert choice.reason == "speed/latency_p50_ms is 1 ms, the only variant that meets the policy"
    assert choice.excluded == {
        "float": "speed/latency_p50_ms is 2 ms, but must be speed/latency_p50_ms <= 1.5; "
        "model/bytes is 4,000 bytes, but must be model/bytes <= 1200",
        "quick": "val/accuracy/change is -0.02, but must be val/accuracy/change >= -0.005; "
        "model/bytes is 1,500 bytes, but must be model/bytes <= 1200",
    }


def test_a_value_exactly_at_the_bound_meets_it():
    change = 0.975 - 0.98
    assert change < -0.005  # as binary fractions have it
    policy = policy_of(constraints=[f"{CHANGE} >= -0.005"])
    assert choose([changed(QUICK, change=change)], policy).name == "quick"


def test_nothing_within_the_constraints_is_reported():
    choice = choose([FLOAT, BROKEN], policy_of(BYTES, [f"{BYTES} <= 10"]))
    assert (choice.name, sorted(choice.excluded)) == (None, ["broken", "float"])
    assert choice.reason == "no variant meets register.policy (2 were considered)"


@pytest.mark.parametrize("missing", [LATENCY, BYTES, ACCURACY])
def test_what_was_not_measured_is_not_chosen(missing):
    rest = {name: value for name, value in QUICK.metrics.items() if name != missing}
    choice = choose([replace(QUICK, metrics=rest), SMALL], policy_of())
    expected = {"quick": f"not measured: {missing} (dvc repro compare benchmark)"}
    assert (choice.name, choice.excluded) == ("small", expected)
    assert choose([changed(QUICK, latency_p50_ms=float("nan")), SMALL], policy_of()).name == "small"


def test_ties_are_broken_by_a_fixed_order_and_then_by_name():
    twin = replace(QUICK, name="a twin")
    better = replace(changed(QUICK, accuracy=0.98), name="z")
    smaller = replace(changed(QUICK, bytes=1), name="y")
    for candidates in permutations([QUICK, twin, smaller]):
        assert choose(candidates, policy_of()).name == "y"
    assert choose([QUICK, smaller, better], policy_of()).name == "z"  # accuracy before bytes
    assert choose([QUICK, twin], policy_of()).name == choose([twin, QUICK], policy_of()).name == "a twin"


def timed(name: str, low: float, value: float, high: float, **changes: float) -> Candidate:
    """A variant whose latency in the rounds was between ``low`` and ``high``."""
    one = changed(replace(SMALL, name=name), latency_p50_ms=value, **changes)
    return replace(one, metrics={**one.metrics, f"{LATENCY}/low": low, f"{LATENCY}/high": high})


def test_the_noise_of_the_clock_does_not_decide():
    """0.0196 ms against 0.0197, as once measured: the smaller file decides, whichever was faster."""
    for first, second in ((0.0196, 0.0197), (0.0197, 0.0196)):
        large = timed("large", first - 0.0005, first, first + 0.0005, bytes=4000)
        small = timed("small", second - 0.0005, second, second + 0.0005, bytes=1000)
        for candidates in permutations([large, small, FLOAT]):
            choice = choose(candidates, policy_of())
            assert choice.name == "small"
            assert "within the noise of large; model/bytes decided" in choice.reason


def test_intervals_that_do_not_overlap_decide():
    quick, slow = timed("quick", 0.9, 1.0, 1.1, bytes=4000), timed("slow", 1.2, 1.3, 1.4, bytes=1000)
    choice = choose([quick, slow], policy_of())
    assert (choice.name, choice.reason) == (
        "quick",
        "speed/latency_p50_ms is 1 ms, the best of 2 variants that meet the policy",
    )
    touching = timed("slow", 1.1, 1.3, 1.4, bytes=1000)
    assert choose([quick, touching], policy_of()).name == "slow"


def compared(name: str, change: float, low: float, high: float, latency: float) -> Candidate:
    """A variant with the interval of its change in accuracy against the base."""
    one = candidate(name, change, latency, size=1000)
    return replace(one, metrics={**one.metrics, f"{CHANGE}/low": low, f"{CHANGE}/high": high})


def test_one_image_does_not_decide():
    """By accuracy the two are equal, though one has one image more; then the latency decides."""
    more = compared("more", 0.0037, -0.009, 0.02, latency=2.0)
    less = compared("less", 0.0, -0.014, 0.014, latency=1.0)
    assert choose([more, less], policy_of(ACCURACY)).name == "less"
    much_more = compared("more", 0.03, 0.015, 0.05, latency=2.0)
    assert choose([much_more, less], policy_of(ACCURACY)).name == "more"


def test_a_variant_whose_interval_covers_the_base_is_equal_to_it():
    """The base has no interval of its own: its change is 0, and its accuracy 0.98."""
    near = compared("near", -0.01, -0.02, 0.005, latency=1.0)
    far = compared("far", -0.03, -0.05, -0.01, latency=0.5)
    for candidates in permutations([FLOAT, near, far]):
        assert choose(candidates, policy_of(ACCURACY)).name == "near"


def test_a_tie_goes_by_the_order_of_the_policy():
    exact = timed("exact", 0.9, 1.0, 1.1, bytes=4000, accuracy=0.99)
    small = timed("small", 0.9, 1.0, 1.1, bytes=1000, accuracy=0.98)
    for candidates in permutations([exact, small]):
        assert choose(candidates, policy_of(ties=[ACCURACY, BYTES])).name == "exact"
        assert choose(candidates, policy_of(ties=[BYTES, ACCURACY])).name == "small"
        assert choose(candidates, policy_of(ties=[])).name == "exact"  # by name


def test_what_is_not_shown_non_inferior_is_not_chosen():
    choice = choose([FLOAT, QUICK, SMALL], policy_of(), "quick")
    assert choice.name == "small"
    assert choice.excluded == {"quick": "not shown non-inferior to the base: the numbers"}
    assert choose([FLOAT, QUICK, SMALL], policy_of()).name == "quick"


def test_the_base_has_nothing_to_prove_and_stays():
    base = replace(FLOAT, name="onnx_fp32")
    choice = policy_module.choose([base, QUICK], policy_of(), {"quick": verdict(False)})
    assert choice.name == "onnx_fp32"
    assert choice.reason.startswith("it is the base as ONNX, because no variant meets the policy; ")
    assert policy_module.choose([base, QUICK], policy_of(), {"quick": verdict(True)}).name == "quick"


def test_without_the_base_nothing_can_be_judged():
    broken = Candidate("onnx_fp32", {}, failure="a logit differs")
    choice = policy_module.choose([broken, QUICK], policy_of(), {})
    assert choice.name is None
    assert choice.excluded["quick"] == "cannot be judged: onnx_fp32, the base as ONNX, has no model"


def test_metrics_of_test_images_never_reach_the_policy():
    seen = Candidate.of("one", {"test/accuracy": 1.0, ACCURACY: 0.9, "cv/accuracy": 0.8, LATENCY: 1.0})
    assert seen.metrics == {ACCURACY: 0.9, LATENCY: 1.0}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("optimize", "test/accuracy", "must be a metric of val/, model/, speed/, but got test/accuracy"),
        ("optimize", "val/acuracy", "val/acuracy is not a metric"),
        ("optimize", "val/mcnemar_p", "neither better high nor better low"),
        ("tie_breakers", ["test/accuracy"], "must be a metric of val/, model/, speed/"),
        ("metric", "test/accuracy", "must be one of val/accuracy"),
        ("metric", "val/agreement", "must be one of val/accuracy"),
        *(("margin", bad, UNIT) for bad in (0.0, -0.02, 1.0, 2, math.nan, math.inf)),
        ("level", 0.5, "less than 0.5"),
        ("constraints", ["val/accuracy = 1"], "must be a metric, <= or >=, and a number"),
        ("constraints", ["val/accuracy >= 95"], "val/accuracy lies between 0 and 1, but got"),
        ("constraints", ["test/accuracy >= 0.9"], "must be a metric of val/, model/, speed/"),
    ],
)
def test_a_policy_names_metrics_that_may_decide(field, value, message):
    with pytest.raises(ValidationError, match=message):
        Policy(**{**policy_of().model_dump(), field: value})


@pytest.mark.parametrize(
    ("metric", "good", "bad"),
    [
        ("val/accuracy", 0.999, 1.0),
        ("val/matthews", 1.5, 2.0),
        ("val/brier", 1.5, 2.0),
        ("val/log_loss", 3.0, math.inf),
    ],
)
def test_a_margin_lies_within_the_range_of_its_metric(metric, good, bad):
    """Tango's limit takes the root of a negative number beyond it."""
    policy = {**policy_of().model_dump(), "metric": metric}
    assert Policy(**policy | {"margin": good}).margin == good
    with pytest.raises(ValidationError, match="must be above 0 and"):
        Policy(**policy | {"margin": bad})


@pytest.mark.parametrize("name", ["val/f1_macro", "val/recall/cat", "val/recall_min", "val/log_loss"])
def test_any_metric_of_validation_images_can_decide(name):
    """Whatever its better direction is."""
    best, worst = (0.1, 0.9) if name == "val/log_loss" else (0.9, 0.1)
    one, other = replace(FLOAT, metrics={name: worst}), replace(QUICK, metrics={name: best})
    assert choose([one, other], policy_of(name, ties=[])).name == "quick"
    relation = "<=" if name == "val/log_loss" else ">="
    limited = policy_of(name, [f"{name} {relation} 0.5"], ties=[])
    assert set(choose([one, other], limited).excluded) == {"float"}


@pytest.mark.parametrize("name", ["val/loss", "val/recall", "val/accurate"])
def test_metrics_that_nothing_measures_are_refused(name):
    with pytest.raises(
        ValidationError, match=f"(must be one of val/accuracy, .*but got {name}|{name} is not a)"
    ):
        policy_of(name)


def test_metrics_that_the_leaderboard_lacks_come_from_the_answers():
    """Those of validation images only; scikit-learn agrees."""
    random = np.random.default_rng(0)
    targets, logits = random.integers(0, 3, 90), random.normal(size=(90, 3)).astype(np.float32)
    evidence = ValidationEvidence(np.arange(90), targets, logits, np.arange(0))
    answers = VariantAnswers(evidence, np.arange(0), np.arange(0))
    rule = NonInferiorityRule(ACCURACY, 0.02, 0.05, 100, 2, 10, 0, classes=["ant", "bee", "cat"])
    names = ["val/recall/bee", "val/f1_macro", "val/accuracy/change", BYTES]
    found = validation_metrics(answers, names, rule)
    assert found == {
        "val/recall/bee": pytest.approx(recall_score(targets == 1, logits.argmax(1) == 1)),
        "val/f1_macro": pytest.approx(f1_score(targets, logits.argmax(1), average="macro")),
    }
    assert validation_metrics(None, names, rule) == {}
