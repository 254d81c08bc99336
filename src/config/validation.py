"""Checks a configuration against the schema, and says everything that is wrong with it at once."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from src.config.schema import Config
from src.config.schema.base import Section
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
}


def validate_config(values: Mapping[str, Any], origin: str) -> Config:
    """The typed configuration; all faults are reported at once, each with its full key."""
    try:
        return Config.model_validate(dict(values))
    except ValidationError as error:
        faults = "\n".join(f"  {fault}" for fault in _faults(error, values))
        mend = "The choices are in conf/; python -m src.compose writes params.yaml anew."
        raise AssayError(f"{origin} is not valid:\n{faults}\n{mend}") from error


def _faults(error: ValidationError, values: Mapping[str, Any]) -> Iterator[str]:
    for fault in error.errors(include_url=False):
        yield f"{_locate(fault['loc'], values)}: {_rule(fault, _close(fault['loc']))}"


def _locate(location: tuple[int | str, ...], values: Any) -> str:
    """The dotted key as it stands in the file.

    pydantic adds the tag of a union (``model.cnn.widths``); what the file does not have is left out,
    save for the last part, which may be missing for good reason.
    """
    parts: list[str] = []
    for place, part in enumerate(location):
        found = _has(values, part)
        values = values[part] if found else values
        if found or place == len(location) - 1:
            parts.append(str(part))
    return ".".join(parts)


def _has(values: Any, part: int | str) -> bool:
    if isinstance(values, list):
        return isinstance(part, int) and part < len(values)
    return isinstance(values, Mapping) and part in values


def _close(location: tuple[int | str, ...]) -> list[str]:
    """A known key that the last part may have been meant for."""
    name = str(location[-1])
    return difflib.get_close_matches(name, sorted(_all_fields() - {name}), n=1, cutoff=0.7)


def _all_fields() -> set[str]:
    """Every field name of the schema."""
    return {
        field.alias or name
        for section in Section.__subclasses__()
        for name, field in section.model_fields.items()
    }


def _rule(fault: Any, close: list[str]) -> str:
    """The rule that was broken and the value that broke it."""
    if fault["type"] == "missing":
        return "is missing"
    if fault["type"] == "extra_forbidden":
        return "is not a known key here" + (f" (did you mean {close[0]}?)" if close else "")
    context = fault.get("ctx", {})
    if fault["type"] == "value_error":
        return str(context["error"])
    plain = fault["msg"][0].lower() + fault["msg"][1:]
    rule = RULES[fault["type"]].format(**context) if fault["type"] in RULES else plain
    return f"{rule}, but got {context.get('tag', fault['input'])!r}"
