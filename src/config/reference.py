"""The reference of the configuration: every field with type, default and description."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from src.config.dotted_keys import flatten
from src.config.fields import schema_fields
from src.config.loading import compose


@dataclass(frozen=True)
class FieldEntry:
    """One field of the configuration."""

    key: str  # as in src.config.fields
    choice: str  # of a group that has it, such as model=cnn; "" if all have it
    type: str  # with its range
    default: Any  # of conf/; None where conf/ has none
    description: str


def list_fields() -> list[FieldEntry]:
    """Every field, in the order of the schema; ``model.dropout`` once for each model that has it."""
    return [
        FieldEntry(field.key, field.choice, field.type, _default(field.key, field.choice), field.description)
        for field in schema_fields()
    ]


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
