"""Why do two registered versions differ? Code, parameters, data, environment, and the metrics that moved."""

from collections.abc import Mapping

from src.auditing.checks.environment import pinned, recorded_numerics
from src.auditing.git_search import blobs_of
from src.auditing.target import AuditTarget
from src.config.dotted_keys import flatten

SHOWN = 12


def explain_difference(one: AuditTarget, other: AuditTarget) -> list[str]:
    """Lines for the terminal; sections without a difference say so."""
    lines = [f"{one.title} against {other.title}"]
    for title, found in (
        ("Code", _changed(blobs_of(one.folder), blobs_of(other.folder), values=False)),
        ("Parameters", _changed(dict(flatten(one.params)), dict(flatten(other.params)))),
        ("Data", _changed(one.raw, other.raw, values=False) + _changed(_digest(one), _digest(other))),
        ("Environment", _changed(_environment(one), _environment(other))),
        ("Metrics", _changed(_metrics(one), _metrics(other))),
    ):
        lines += ["", title, *(f"  {line}" for line in found or ["the same"])]
    return lines


def _changed(one: Mapping[str, object], other: Mapping[str, object], values: bool = True) -> list[str]:
    keys = [key for key in sorted(one.keys() | other.keys()) if one.get(key) != other.get(key)]
    lines = [
        _line(key, one.get(key), other.get(key)) if values else _presence(key, one, other) for key in keys
    ]
    return lines[:SHOWN] + ([f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else [])


def _line(key: str, before: object, after: object) -> str:
    if isinstance(before, float) and isinstance(after, float):
        return f"{key}: {before:.6g} -> {after:.6g} ({after - before:+.3g})"
    return f"{key}: {before} -> {after}"


def _presence(key: str, one: Mapping[str, object], other: Mapping[str, object]) -> str:
    if key in one and key in other:
        return f"{key}: changed"
    return f"{key}: only in the {'first' if key in one else 'second'}"


def _digest(subject: AuditTarget) -> Mapping[str, object]:
    return {"data digest": subject.run.tags.get("data.digest") if subject.run else None}


def _environment(subject: AuditTarget) -> Mapping[str, object]:
    return {
        **pinned(subject),
        **{f"numerics.{key}": value for key, value in recorded_numerics(subject).items()},
    }


def _metrics(subject: AuditTarget) -> Mapping[str, object]:
    return dict(subject.run.metrics) if subject.run else {}
