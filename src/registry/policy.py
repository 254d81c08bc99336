"""Which variant to offer: the best at one thing among those that keep the budgets.

Nothing here knows a test image: a :class:`Candidate` has figures of validation images, of the file and of
the machine.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from src.config.schema.register import Policy

ORDER = ("accuracy", "latency", "bytes")  # what decides between equals, before the name
SLACK = 1e-9  # so that a drop of just the budget keeps it, whatever its last binary digit


@dataclass(frozen=True)
class Candidate:
    """A variant as the policy sees it; figures are None where it has none."""

    name: str
    accuracy_change: float | None  # share of the validation images, against the base; below 0: worse
    latency_ms: float | None  # median for one image
    bytes: int | None  # of model.onnx
    status: str = "ok"  # ok | failed
    reason: str | None = None  # of a failure


@dataclass(frozen=True)
class Choice:
    """The variant, and why this one and not the others."""

    name: str | None  # None: no variant keeps the budgets
    reason: str
    excluded: dict[str, str]  # variant: why it could not be chosen


def choose(candidates: Sequence[Candidate], policy: Policy) -> Choice:
    """The best of ``candidates`` by ``policy``, whatever their order."""
    faults = {candidate.name: _violations(candidate, policy) for candidate in candidates}
    excluded = {name: "; ".join(found) for name, found in faults.items() if found}
    left = [candidate for candidate in candidates if candidate.name not in excluded]
    if not left:
        return Choice(None, _nothing(excluded), excluded)
    best = min(left, key=lambda candidate: _rank(candidate, policy.optimize))
    of = f"of the {len(left)} variants within" if len(left) > 1 else "the only variant within"
    return Choice(best.name, f"{_described(best, policy.optimize)}, {of} the budgets", excluded)


def _violations(candidate: Candidate, policy: Policy) -> list[str]:
    if candidate.status != "ok":
        return [f"failed: {candidate.reason or 'no reason is known'}"]
    change, latency, size = candidate.accuracy_change, candidate.latency_ms, candidate.bytes
    if change is None or latency is None or size is None or not math.isfinite(change + latency):
        return ["it was not measured: dvc repro compare benchmark"]
    drop, most = policy.max_accuracy_drop, policy.max_latency_ms
    return [
        *(
            [f"{-change:.4f} less accurate than the base, above max_accuracy_drop={drop}"]
            if drop is not None and -change > drop + SLACK
            else []
        ),
        *(
            [f"{latency:.3g} ms for one image, above max_latency_ms={most}"]
            if most is not None and latency > most
            else []
        ),
        *(
            [f"{size:,} bytes, above max_bytes={policy.max_bytes:,}"]
            if policy.max_bytes is not None and size > policy.max_bytes
            else []
        ),
    ]


def _rank(candidate: Candidate, optimize: str) -> tuple[float | str, ...]:
    """Less is better: what is optimised, then the rest of ``ORDER``, then the name."""
    assert candidate.accuracy_change is not None and candidate.latency_ms is not None  # see _faults
    assert candidate.bytes is not None
    values = {
        "accuracy": -candidate.accuracy_change,
        "latency": candidate.latency_ms,
        "bytes": candidate.bytes,
    }
    return (values[optimize], *(values[name] for name in ORDER if name != optimize), candidate.name)


def _described(candidate: Candidate, optimize: str) -> str:
    return {
        "accuracy": f"most accurate ({candidate.accuracy_change:+.4f} against the base)",
        "latency": f"fastest ({candidate.latency_ms:.3g} ms for one image)",
        "bytes": f"smallest ({candidate.bytes:,} bytes)",
    }[optimize]


def _nothing(excluded: dict[str, str]) -> str:
    if not excluded:
        return "there is no variant: name some in compress.variants"
    return f"no variant keeps the budgets of register.policy ({len(excluded)} were looked at)"
