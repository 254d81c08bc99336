"""Why images cannot be divided as configured; all reasons are reported together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from src.core.errors import AssayError
from src.core.wording import counted

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


@dataclass(frozen=True, kw_only=True)
class Shortage(Fault):
    """A class with too few images; ``text`` is what needs more, such as split.val=0.15.

    Attributes:
        name: of the class.
        have: what it has.
        need: what it needs; about, where part of any new images goes elsewhere.
        unit: of both numbers, in the singular.
    """

    name: str
    have: int
    need: int
    unit: str


def refuse(faults: Sequence[Fault]) -> None:
    """Raise an AssayError with all faults, if there are any."""
    if not faults:
        return
    shortages = [fault for fault in faults if isinstance(fault, Shortage)]
    others = [fault.text for fault in faults if not isinstance(fault, Shortage)]
    lines = list(dict.fromkeys([*_shortage_lines(shortages), *others]))
    more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    text = "\n  ".join(["the images cannot be divided as configured:", *lines[:SHOWN], *more])
    fixes = list(dict.fromkeys(fault.fix for fault in faults))
    if any(fault.target is not None for fault in faults):
        fixes = ["add images of these classes", "remove these classes", *fixes, RARE]
    chosen = f"{', '.join(fixes[:-1])} or {fixes[-1]}" if len(fixes) > 1 else fixes[0]
    raise AssayError(f"{text}\n{chosen[0].upper()}{chosen[1:]}")


def _shortage_lines(shortages: Sequence[Shortage]) -> Iterator[str]:
    """One line for each class, with the largest of the numbers that it would need."""
    by_class: dict[int | None, list[Shortage]] = {}
    for each in shortages:
        by_class.setdefault(each.target, []).append(each)
    for found in by_class.values():
        worst = max(found, key=lambda each: each.need - each.have)
        *most, last = dict.fromkeys(each.text for each in found)
        who = f"{', '.join(most)} and {last}" if most else last
        yield (
            f"class {worst.name!r} has {counted(worst.have, worst.unit)}, too few for {who}: "
            f"it needs about {worst.need:,}"
        )
