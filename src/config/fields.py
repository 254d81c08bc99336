"""All fields of the schema: their keys, types with range, and descriptions."""

import types
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import MinLen
from pydantic.fields import FieldInfo

from src.config.patterns import WORDS
from src.config.schema import Config
from src.config.schema.base import Section

NAMES = {int: "integer", float: "number", str: "string", bool: "true | false", type(None): "null"}
LIMITS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


@dataclass(frozen=True)
class SchemaField:
    """One field of the configuration."""

    key: str  # dotted; operations[crop]: an entry of a list; variants.NAME: a name that people choose
    choice: str  # of a group that has it, such as model=cnn; "" if all have it
    type: str  # with its range
    description: str


@lru_cache(maxsize=1)
def schema_fields() -> tuple[SchemaField, ...]:
    """Every field, in the order of the schema; ``model.dropout`` once for each model that has it."""
    return tuple(_fields(Config, "", ""))


def known_keys() -> set[str]:
    """The keys that can be set on the command line; those within lists are left out."""
    return {field.key for field in schema_fields() if "[" not in field.key and "NAME" not in field.key}


def _fields(section: type[Section], above: str, choice: str) -> Iterator[SchemaField]:
    for name, field in section.model_fields.items():
        key = f"{above}{field.alias or name}"
        below = list(_sections_below(field.annotation))
        if not any(suffix == "" for suffix, _ in below):
            yield SchemaField(key, choice, _describe(field), field.description or "")
        for suffix, inner in below:
            yield from _fields(inner, f"{key}{suffix}.", _choice(key, inner) or choice)


def _sections_below(annotation: Any) -> Iterator[tuple[str, type[Section]]]:
    """("", a section), ("[crop]", an entry of a list), (".NAME", a value of a dictionary)."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from _sections_below(arguments[0])
    elif origin in (Union, types.UnionType):
        for member in arguments:
            yield from _sections_below(member)
    elif origin is list:
        yield from ((f"[{_tag(member)}]", member) for _, member in _sections_below(arguments[0]))
    elif origin is dict:
        yield from ((".NAME", member) for _, member in _sections_below(arguments[1]))
    elif isinstance(annotation, type) and issubclass(annotation, Section):
        yield "", annotation


def _tag(section: type[Section]) -> str:
    """What an entry of this kind has as its name; "" if it has none."""
    name = section.model_fields.get("name")
    return "" if name is None else "|".join(get_args(name.annotation))


def _choice(key: str, section: type[Section]) -> str:
    kind = section.model_fields.get("kind")
    return "" if kind is None else f"{key}={get_args(kind.annotation)[0]}"


def _describe(field: FieldInfo) -> str:
    limits = [text for item in field.metadata for text in _limits(item)]
    return ", ".join([_type_name(field.annotation), *limits])


def _type_name(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _describe(FieldInfo.from_annotation(annotation))
    if origin in (Literal, Union, types.UnionType):
        return " | ".join(str(each) if origin is Literal else _type_name(each) for each in arguments)
    if origin is list:
        return f"list of {_type_name(arguments[0])}"
    if origin is dict:
        return f"dictionary of {_type_name(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return _tag(annotation) or annotation.__name__.lower()
    return NAMES.get(annotation, "any")


def _limits(item: Any) -> Iterator[str]:
    for name, word in LIMITS.items():
        if getattr(item, name, None) is not None:
            yield f"{word} {getattr(item, name)}"
    if isinstance(item, MinLen):
        yield "not empty" if item.min_length == 1 else f"at least {item.min_length} entries"
    if getattr(item, "pattern", None):
        yield WORDS[item.pattern]
