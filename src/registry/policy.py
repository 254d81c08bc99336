"""Which variant to offer: the best by one metric among those that are non-inferior and meet the constraints.

Neither a single image nor timing noise decides: variants whose intervals overlap are equal, and the tie
goes to the next metric of the policy. The base is a variant like the others, except that it has nothing to
prove, so it stays if no other one has.

Nothing here knows a test image: a :class:`Candidate` has metrics of validation images, of the file and of
the machine.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from src.config.schema.compress import BASELINE
from src.config.schema.register import CONSTRAINT, SCOPES, Policy
from src.core.metric_names import metric_of
from src.leaderboard.comparison.non_inferiority import Verdict

# Metrics whose limits are those of another one: two variants differ from the base on much the same images.
LIMITS_OF = {"val/accuracy": "val/accuracy/change"}
SLACK = 1e-9  # so that a value exactly at a bound meets it, whatever its last binary digit is


@dataclass(frozen=True)
class Candidate:
    """A variant as the policy sees it."""

    name: str
    metrics: Mapping[str, float]  # by name; no metric of test images
    failure: str | None = None  # why the variant has no model

    @classmethod
    def of(cls, name: str, metrics: Mapping[str, float], failure: str | None = None) -> "Candidate":
        """A candidate with those of ``metrics`` that may choose."""
        allowed = {key: value for key, value in metrics.items() if key.partition("/")[0] in SCOPES}
        return cls(name, allowed, failure)


@dataclass(frozen=True)
class Choice:
    """The variant, and why this one and not the others."""

    name: str | None  # None: no variant meets the constraints
    reason: str
    excluded: dict[str, str]  # variant: why it could not be chosen


def needed_metrics(policy: Policy) -> set[str]:
    """Names of the metrics that every candidate must have."""
    matches = (CONSTRAINT.fullmatch(constraint) for constraint in policy.constraints)
    return {policy.optimize, *policy.tie_breakers, *(match["metric"] for match in matches if match)}


def choose(candidates: Sequence[Candidate], policy: Policy, verdicts: Mapping[str, Verdict]) -> Choice:
    """The best of ``candidates`` by ``policy``, in any order.

    Args:
        candidates: the base as ONNX, and the variants.
        policy: section ``register.policy``.
        verdicts: on each variant but the base, whether it is non-inferior to the base.
    """
    faults = {each.name: _faults(each, policy, verdicts.get(each.name)) for each in candidates}
    excluded = {name: "; ".join(found) for name, found in faults.items() if found}
    left = [candidate for candidate in candidates if candidate.name not in excluded]
    if not left:
        return Choice(None, _nothing(excluded), excluded)
    best, ties = _best(left, policy)
    return Choice(best.name, _reason(best, len(left), ties, policy), excluded)


def _best(left: Sequence[Candidate], policy: Policy) -> tuple[Candidate, dict[str, list[str]]]:
    """The best candidate, and for each metric that was asked the names that were equal by it."""
    ties: dict[str, list[str]] = {}
    for name in (policy.optimize, *policy.tie_breakers):
        left = _equally_good(left, name)
        ties[name] = sorted(candidate.name for candidate in left)
        if len(left) == 1:
            break
    return min(left, key=lambda candidate: candidate.name), ties


def _equally_good(candidates: Sequence[Candidate], name: str) -> list[Candidate]:
    """The best by a metric, and all whose intervals overlap with its own."""
    best = min((_costs(candidate, name) for candidate in candidates), key=lambda costs: (costs[1], -costs[2]))
    return [each for each in candidates if _costs(each, name)[0] <= best[2] + SLACK]


def _costs(candidate: Candidate, name: str) -> tuple[float, float, float]:
    """Least, likeliest and greatest cost; less is better. All the same for what was not estimated."""
    value, metrics, limits = candidate.metrics[name], candidate.metrics, LIMITS_OF.get(name, name)
    if f"{limits}/low" not in metrics:
        low = high = value
    else:
        shift = value - metrics[limits]  # from the metric of the limits to this one
        low, high = (metrics[f"{limits}/{end}"] + shift for end in ("low", "high"))
    costs = sorted(_cost(name, each) for each in (low, high))
    return costs[0], _cost(name, value), costs[1]


def _reason(best: Candidate, rivals: int, ties: Mapping[str, Sequence[str]], policy: Policy) -> str:
    value = _shown(policy.optimize, best.metrics[policy.optimize])
    if rivals == 1 and best.name == BASELINE:
        return f"it is the base as ONNX, because no variant meets the policy; {value}"
    if rivals == 1:
        return f"{value}, the only variant that meets the policy"
    equal = [name for name in ties[policy.optimize] if name != best.name]
    if not equal:
        return f"{value}, the best of {rivals} variants that meet the policy"
    decided = next((name for name, left in ties.items() if len(left) == 1), "the name")
    return f"{value}, within the noise of {', '.join(equal)}; {decided} decided"


def _faults(candidate: Candidate, policy: Policy, verdict: Verdict | None) -> list[str]:
    """Why a candidate cannot be chosen."""
    if candidate.failure is not None:
        return [f"failed: {candidate.failure}"]
    bounds = {constraint: CONSTRAINT.fullmatch(constraint) for constraint in policy.constraints}
    missing = [
        name
        for name in sorted(needed_metrics(policy))
        if not math.isfinite(candidate.metrics.get(name, math.nan))
    ]
    if missing:
        return [f"not measured: {', '.join(missing)} (dvc repro compare benchmark)"]
    return _inferiority(candidate, verdict) + [
        f"{_shown(match['metric'], candidate.metrics[match['metric']])}, but must be {constraint}"
        for constraint, match in bounds.items()
        if match and not _holds(candidate.metrics[match["metric"]], match["relation"], float(match["bound"]))
    ]


def _holds(value: float, relation: str, bound: float) -> bool:
    return value <= bound + SLACK if relation == "<=" else value >= bound - SLACK


def _inferiority(candidate: Candidate, verdict: Verdict | None) -> list[str]:
    """Why a candidate is not shown to be as good as the base."""
    if candidate.name == BASELINE or (verdict is not None and verdict.passed):
        return []
    if verdict is None:
        return [f"cannot be judged: {BASELINE}, the base as ONNX, has no model"]
    return [f"not shown non-inferior to the base: {verdict.reason}"]


def _cost(name: str, value: float) -> float:
    return -value if metric_of(name).direction == "maximize" else value


def _shown(name: str, value: float) -> str:
    unit = metric_of(name).unit
    number = f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
    return f"{name} is {number}{f' {unit}' if unit else ''}"


def _nothing(excluded: dict[str, str]) -> str:
    if not excluded:
        return "no variant was made: name some in compress.variants"
    return f"no variant meets register.policy ({len(excluded)} were considered)"
