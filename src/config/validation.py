"""Checks a configuration against the schema, and reports everything that is wrong with it at once."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from src.config.fields import known_keys, schema_fields
from src.config.schema import Config
from src.config.suggestions import did_you_mean
from src.core.errors import AssayError

# pydantic's types of faults in the words of this project; {…} come from the fault.
RULES = {
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "union_tag_invalid": "must be one of {expected_tags} in {discriminator}",
    "union_tag_not_found": "needs {discriminator}",
    "string_pattern_mismatch": "must match {pattern}",
    "int_type": "must be an integer",
    "int_from_float": "must be an integer",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "string_type": "must be a string",
    "list_type": "must be a list",
    "dict_type": "must be a dictionary, {{key: value}}",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
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
    for fault in error.errors(include_url=False):
        key = _locate(fault["loc"], values)
        yield f"{key}: {_rule(fault, key)}"


def _locate(location: tuple[int | str, ...], values: Any) -> str:
    """The dotted key as it is in the file.

    pydantic adds the tag of a union (``model.cnn.widths``). What the file does not have is left out, except
    for the last part, which may be the key that is missing.
    """
    parts: list[str] = []
    for place, part in enumerate(location):
        found = _has(values, part)
        values = values[part] if found else values
        if found or place == len(location) - 1:
            parts.append(str(part))
    return ".".join(part for part in parts if part != "[key]")


def _has(values: Any, part: int | str) -> bool:
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
    """The rule that was broken and the value that broke it."""
    if fault["type"] == "missing":
        return "is missing"
    if fault["type"] == "extra_forbidden":
        return f"is not a known key{_question(key)}"
    if fault["type"] in ("model_type", "model_attributes_type"):
        inner = [other for other in sorted(known_keys()) if other.startswith(f"{key}.")]
        section = f"is a section: set one of its keys, such as {inner[0]}" if inner else None
        return section or f"must be a dictionary, {{key: value}}, but got {fault['input']!r}"
    context = fault.get("ctx", {})
    if fault["type"] == "value_error":
        return str(context["error"])
    plain = fault["msg"][0].lower() + fault["msg"][1:]
    rule = RULES[fault["type"]].format(**context) if fault["type"] in RULES else plain
    return f"{rule}, but got {context.get('tag', fault['input'])!r}"
