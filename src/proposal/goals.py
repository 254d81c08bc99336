"""What a person wants of a classifier, and which settings serve it."""

from dataclasses import dataclass

from src.config.suggestions import did_you_mean
from src.core.errors import AssayError

PLAIN = ("accuracy", "size", "speed")


@dataclass(frozen=True)
class Goal:
    """One of `PLAIN`."""

    name: str


def parse_goal(text: str) -> Goal:
    """The goal that ``--goal`` names."""
    if text not in PLAIN:
        raise AssayError(
            f"--goal must be one of {', '.join(PLAIN)}, but got {text}{did_you_mean(text, PLAIN)}"
        )
    return Goal(text)
