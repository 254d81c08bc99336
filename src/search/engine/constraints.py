"""Constraints of a search, such as ``model/bytes <= 200000``."""

import math
import re
from collections.abc import Mapping, Sequence

CONSTRAINT = re.compile(r"(?P<metric>\S.*?) *(?P<relation><=|>=) *(?P<bound>\S+)")


def parse_constraint(constraint: str) -> tuple[str, str, float]:
    """("model/bytes", "<=", 200000.0) of "model/bytes <= 200000"; the schema has checked its form."""
    match = CONSTRAINT.fullmatch(constraint)
    assert match is not None, constraint
    return match["metric"], match["relation"], float(match["bound"])


def violated(metrics: Mapping[str, float], constraints: Sequence[str]) -> list[str]:
    """The constraints that the metrics violate; a missing metric violates all of its constraints."""
    return [constraint for constraint in constraints if not _holds(metrics, *parse_constraint(constraint))]


def feasible(metrics: Mapping[str, float], constraints: Sequence[str]) -> bool:
    """Whether the metrics satisfy all constraints."""
    return not violated(metrics, constraints)


def violations(metrics: Mapping[str, float], constraints: Sequence[str]) -> dict[str, float]:
    """By what share of its bound each constraint is violated; below 0 where it is satisfied."""
    return {constraint: _violation(metrics, *parse_constraint(constraint)) for constraint in constraints}


def _holds(metrics: Mapping[str, float], metric: str, relation: str, bound: float) -> bool:
    value = metrics.get(metric, math.nan)
    return value <= bound if relation == "<=" else value >= bound


def _violation(metrics: Mapping[str, float], metric: str, relation: str, bound: float) -> float:
    value = metrics.get(metric, math.nan)
    if math.isnan(value):
        return math.inf
    return (value - bound if relation == "<=" else bound - value) / (abs(bound) or 1.0)
