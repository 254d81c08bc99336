"""Which variant to offer: the best by one metric among those that meet the constraints.

Nothing here knows a test image: a :class:`Candidate` has metrics of validation images, of the file and of
the machine.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from src.config.schema.register import CONSTRAINT, SCOPES, Policy
from src.core.metric_names import metric_of

TIE_BREAKERS = ("val/accuracy", "speed/latency_p50_ms", "model/bytes")  # in this order, before the name
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


def choose(candidates: Sequence[Candidate], policy: Policy) -> Choice:
    """The best of ``candidates`` by ``policy``, whatever their order."""
    faults = {candidate.name: _faults(candidate, policy) for candidate in candidates}
    excluded = {name: "; ".join(found) for name, found in faults.items() if found}
    left = [candidate for candidate in candidates if candidate.name not in excluded]
    if not left:
        return Choice(None, _nothing(excluded), excluded)
    best = min(left, key=lambda candidate: _rank(candidate, policy.optimize))
    rivals = f"the best of {len(left)} variants" if len(left) > 1 else "the only variant"
    value = _shown(policy.optimize, best.metrics[policy.optimize])
    return Choice(best.name, f"{value}, {rivals} within the constraints", excluded)


def _faults(candidate: Candidate, policy: Policy) -> list[str]:
    """Why a candidate cannot be chosen."""
    if candidate.failure is not None:
        return [f"failed: {candidate.failure}"]
    bounds = {constraint: CONSTRAINT.fullmatch(constraint) for constraint in policy.constraints}
    needed = {policy.optimize, *TIE_BREAKERS, *(match["metric"] for match in bounds.values() if match)}
    missing = [name for name in sorted(needed) if not math.isfinite(candidate.metrics.get(name, math.nan))]
    if missing:
        return [f"not measured: {', '.join(missing)} (dvc repro compare benchmark)"]
    return [
        f"{_shown(match['metric'], candidate.metrics[match['metric']])}, but must be {constraint}"
        for constraint, match in bounds.items()
        if match and not _holds(candidate.metrics[match["metric"]], match["relation"], float(match["bound"]))
    ]


def _holds(value: float, relation: str, bound: float) -> bool:
    return value <= bound + SLACK if relation == "<=" else value >= bound - SLACK


def _rank(candidate: Candidate, optimize: str) -> tuple[float | str, ...]:
    """Less is better: the metric to optimize, then the tie breakers, then the name."""
    names = [optimize, *(name for name in TIE_BREAKERS if name != optimize)]
    return (*(_cost(name, candidate.metrics[name]) for name in names), candidate.name)


def _cost(name: str, value: float) -> float:
    return -value if metric_of(name).direction == "maximize" else value


def _shown(name: str, value: float) -> str:
    unit = metric_of(name).unit
    number = f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
    return f"{name} is {number}{f' {unit}' if unit else ''}"


def _nothing(excluded: dict[str, str]) -> str:
    if not excluded:
        return "no variant was made: name some in compress.variants"
    return f"no variant meets the constraints of register.policy ({len(excluded)} were considered)"
