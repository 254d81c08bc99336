"""Constraints of a search, such as ``bytes <= 200000``."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


CONSTRAINT = re.compile(r"(?P<figure>\S+?) *(?P<relation><=|>=) *(?P<bound>\S+)")


def parse_constraint(constraint: str) -> tuple[str, str, float]:
    """("bytes", "<=", 200000.0) of "bytes <= 200000"; the schema has checked its form."""
    match = CONSTRAINT.fullmatch(constraint)
    assert match is not None, constraint
    return match["figure"], match["relation"], float(match["bound"])


def violated(figures: Mapping[str, float], constraints: Sequence[str]) -> list[str]:
    """The constraints that the figures do not keep; a figure that is missing keeps none."""
    return [constraint for constraint in constraints if not _holds(figures, *parse_constraint(constraint))]


def feasible(figures: Mapping[str, float], constraints: Sequence[str]) -> bool:
    """Whether the figures keep all constraints."""
    return not violated(figures, constraints)


def violations(figures: Mapping[str, float], constraints: Sequence[str]) -> dict[str, float]:
    """By what share of its bound each constraint is broken; below 0 where it is kept."""
    return {constraint: _violation(figures, *parse_constraint(constraint)) for constraint in constraints}


def _holds(figures: Mapping[str, float], figure: str, relation: str, bound: float) -> bool:
    value = figures.get(figure, math.nan)
    return value <= bound if relation == "<=" else value >= bound


def _violation(figures: Mapping[str, float], figure: str, relation: str, bound: float) -> float:
    value = figures.get(figure, math.nan)
    if math.isnan(value):
        return math.inf
    return (value - bound if relation == "<=" else bound - value) / (abs(bound) or 1.0)
