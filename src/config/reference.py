"""The reference of the configuration: every field with type, default and description."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from src.config.dotted_keys import flatten, is_under
from src.config.fields import known_keys, schema_fields
from src.config.loading import compose
from src.config.suggestions import did_you_mean
from src.core.errors import AssayError


@dataclass(frozen=True)
class FieldEntry:
    """One field of the configuration."""

    key: str  # as in src.config.fields
    choice: str  # of a group that has it, such as model=cnn; "" if all have it
    type: str  # with its range
    default: Any  # of conf/; None where conf/ has none
    description: str


def list_fields(key: str = "") -> list[FieldEntry]:
    """Every field below ``key``, in the order of the schema; ``model.dropout`` once per model that has it.

    Raises:
        AssayError: The key does not exist.
    """
    fields = [field for field in schema_fields() if not key or is_under(field.key, [key])]
    if not fields:
        raise AssayError(f"{key}: is not a known key{did_you_mean(key, known_keys())}")
    return [
        FieldEntry(field.key, field.choice, field.type, _default(field.key, field.choice), field.description)
        for field in fields
    ]


def describe_fields(key: str = "") -> str:
    """For the terminal: each field with type, default and description."""
    return "\n".join(map(_describe, list_fields(key)))


def _describe(entry: FieldEntry) -> str:
    where = f" with {entry.choice}" if entry.choice else ""
    default = "" if entry.default is None else f"; default {json.dumps(entry.default, ensure_ascii=False)}"
    return f"{entry.key}{where} ({entry.type}{default})\n    {entry.description}"


def _default(key: str, choice: str) -> Any:
    defaults = _defaults(choice)
    if key in defaults:
        return defaults[key]
    below = {
        name.removeprefix(f"{key}."): value for name, value in defaults.items() if name.startswith(f"{key}.")
    }
    return below or None


@lru_cache(maxsize=8)
def _defaults(choice: str) -> Mapping[str, Any]:
    return dict(flatten(compose([choice] if choice else [])))
