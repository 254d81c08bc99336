"""Why images cannot be divided as configured; all reasons are reported together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from src.core.errors import AssayError

SHOWN = 20  # faults listed in one message
RARE = "decide on the classes that are too small (split.rare=train or split.rare=drop)"


@dataclass(frozen=True)
class Fault:
    """One reason, and what would remove it.

    Attributes:
        text: what is wrong.
        fix: what to do about it, in the imperative.
        target: the class that is too small; None: the fault is of no single class.
        part: what the class is too small for.
    """

    text: str
    fix: str
    target: int | None = None
    part: Literal["held out", "train", "folds"] | None = None


def refuse(faults: Sequence[Fault]) -> None:
    """Raise an AssayError with all faults, if there are any."""
    if not faults:
        return
    lines = list(dict.fromkeys(fault.text for fault in faults))
    more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    text = "\n  ".join(["the images cannot be divided as configured:", *lines[:SHOWN], *more])
    fixes = list(dict.fromkeys(fault.fix for fault in faults))
    if any(fault.target is not None for fault in faults):
        fixes = ["add images of these classes", "remove these classes", *fixes, RARE]
    chosen = f"{', '.join(fixes[:-1])} or {fixes[-1]}" if len(fixes) > 1 else fixes[0]
    raise AssayError(f"{text}\n{chosen[0].upper()}{chosen[1:]}")
