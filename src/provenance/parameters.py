"""Nested parameters as dotted keys, and in which of them two configurations differ."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of every leaf; lists are leaves."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def differing_keys(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Dotted keys whose values are not equal, or that only one of the two has."""
    ours, theirs = dict(flatten(one)), dict(flatten(other))
    missing = object()
    return [
        key
        for key in sorted(ours.keys() | theirs.keys())
        if ours.get(key, missing) != theirs.get(key, missing)
    ]


def within(key: str, sections: Iterable[str]) -> bool:
    """Whether a dotted key is one of the sections or lies below one."""
    return any(key == section or key.startswith(f"{section}.") for section in sections)
