"""Checks a configuration against the schema, and reports everything that is wrong with it at once."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from pydantic import ValidationError

from src.config.fields import known_keys, schema_fields
from src.config.patterns import WORDS
from src.config.schema import Config
from src.config.schema.base import FieldError
from src.config.suggestions import did_you_mean
from src.core.errors import AssayError
from src.core.wording import counted

# What was expected, by pydantic's types of faults; {…} come from the fault.
EXPECTED = {
    "greater_than": "above {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "below {lt}",
    "less_than_equal": "at most {le}",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "a string",
    "list_type": "a list",
    "dict_type": "a dictionary, {{key: value}}",
}
HINT = "The choices are in conf/; python -m src.compose writes params.yaml from it."


def validate_config(values: Mapping[str, Any], origin: str) -> Config:
    """The typed configuration; all faults are reported at once, each with its full key."""
    try:
        return Config.model_validate(dict(values))
    except ValidationError as error:
        faults = "\n".join(f"  {fault}" for fault in _faults(error, values))
        hint = f"\n{HINT}" if origin.startswith("params.yaml") else ""
        raise AssayError(f"{origin} is not valid:\n{faults}{hint}") from error


def _faults(error: ValidationError, values: Mapping[str, Any]) -> Iterator[str]:
    expected: dict[str, list[str]] = {}  # KEY=VALUE: what each type of a union would take
    for fault in error.errors(include_url=False):
        key = _locate(fault["loc"], values)
        wanted = _expected(fault)
        if wanted is None:
            yield f"{key}{_rule(fault, key)}"
        elif "[key]" in fault["loc"]:
            above, name = key.rpartition(".")[0], _written(fault["input"])
            yield f"{above}: the key {name} is not allowed: expected {wanted}"
        else:
            expected.setdefault(_assignment(fault, key), []).append(wanted)
    yield from (f"{place}: expected {' or '.join(wanted)}" for place, wanted in expected.items())


def _assignment(fault: Any, key: str) -> str:
    """``train.epochs=0``"""
    context = fault.get("ctx", {})
    if fault["type"] == "union_tag_invalid":
        return f"{key}.{_bare(context['discriminator'])}={_written(context['tag'])}"
    return f"{key}={_written(fault['input'])}"


def _expected(fault: Any) -> str | None:
    """What the value should have been; None if another rule was broken."""
    kind, context = fault["type"], fault.get("ctx", {})
    if kind == "literal_error":
        return _bare(context["expected"])
    if kind == "union_tag_invalid":
        return " or ".join(_bare(context["expected_tags"]).rsplit(", ", 1))
    if kind == "string_pattern_mismatch":
        return WORDS[context["pattern"]]
    if kind in ("too_short", "too_long"):
        most = kind == "too_long"
        count = counted(context["max_length" if most else "min_length"], "entry")
        return f"at {'most' if most else 'least'} {count}"
    return EXPECTED[kind].format(**context) if kind in EXPECTED else None


def _bare(text: str) -> str:
    """pydantic puts each word in quotes."""
    return text.replace("'", "")


def _written(value: Any) -> str:
    """A value as YAML has it: null, true, '64' for the string."""
    text: str = yaml.safe_dump(value, default_flow_style=True, width=math.inf, allow_unicode=True)
    return text.removesuffix("...\n").strip()


def _locate(location: tuple[int | str, ...], values: Any) -> str:
    """The dotted key as it is in the file.

    pydantic adds the tag of a union (``model.cnn.widths``, ``sweep.n_jobs.constrained-int``). What the file
    does not have is left out, except for the last part of a section, which may be the key that is missing.
    """
    parts: list[str] = []
    for place, given in enumerate(location):
        part = _as_written(values, given)
        found = _has(values, part)
        missing = place == len(location) - 1 and isinstance(values, Mapping)
        values = values[part] if found else values
        if found or missing:
            parts.append(str(part))
    return ".".join(part for part in parts if part != "[key]")


def _as_written(values: Any, part: int | str) -> Any:
    """The key of a mapping that the schema has made ``part`` of: classes may be named by numbers."""
    keys = values if isinstance(values, Mapping) else ()
    return next((key for key in keys if str(key) == part), part)


def _has(values: Any, part: Any) -> bool:
    if isinstance(values, list):
        return isinstance(part, int) and part < len(values)
    return isinstance(values, Mapping) and part in values


def _question(key: str) -> str:
    """Near matches; within lists, such as augment.operations.0.degree, of the last part only."""
    if not any(part.isdigit() for part in key.split(".")):
        return did_you_mean(key, known_keys())
    leaves = {field.key.rpartition(".")[2] for field in schema_fields() if "[" in field.key}
    return did_you_mean(key.rpartition(".")[2], leaves)


def _rule(fault: Any, key: str) -> str:
    """What follows the key where another rule was broken than one for single values."""
    kind, context = fault["type"], fault.get("ctx", {})
    if kind == "missing":
        return ": is missing"
    if kind == "union_tag_not_found":
        return f".{_bare(context['discriminator'])}: is missing"
    if kind == "extra_forbidden":
        return f": is not a known key{_question(key)}"
    if kind in ("model_type", "model_attributes_type"):
        inner = [other for other in sorted(known_keys()) if other.startswith(f"{key}.")]
        section = f": is a section: set one of its keys, such as {inner[0]}" if inner else None
        return section or f"={_written(fault['input'])}: expected a dictionary, {{key: value}}"
    if kind == "value_error":
        error = context["error"]
        return f".{error.field}: {error}" if isinstance(error, FieldError) else f": {error}"
    return f"={_written(fault['input'])}: {fault['msg'][0].lower()}{fault['msg'][1:]}"
