"""Nested parameters as dotted keys, and in which of them two configurations differ."""

from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from typing import Any

from src.core.errors import AssayError


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


def is_under(key: str, sections: Iterable[str]) -> bool:
    """Whether a dotted key is one of the sections or lies below one."""
    return any(key == section or key.startswith(f"{section}.") for section in sections)


def lookup(values: Mapping[str, Any], key: str) -> Any:
    """The value at a dotted key.

    Raises:
        AssayError: The key does not exist.
    """
    value: Any = values
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise AssayError(f"params.yaml has no {key}, which dvc.yaml asks for: python -m src.compose")
        value = value[part]
    return value


def set_dotted(values: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of nested ``values`` in which the dotted keys have the values of ``settings``.

    Raises:
        AssayError: a key does not exist; all such keys are named.
    """
    changed = deepcopy(dict(values))
    missing = [key for key, value in settings.items() if not _set(changed, key.split("."), value)]
    if missing:
        raise AssayError(f"no such field: {', '.join(missing)}")
    return changed


def _set(values: Any, path: list[str], value: Any) -> bool:
    """Whether there was a value at the path, which is now another."""
    *above, last = path
    for part in above:
        if not isinstance(values, dict) or part not in values:
            return False
        values = values[part]
    if not isinstance(values, dict) or last not in values:
        return False
    values[last] = deepcopy(value)
    return True
