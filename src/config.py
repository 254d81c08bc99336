"""Reads the configuration: the only reader of ``params.yaml``, the only importer of hydra.

``conf/`` is the library of choices, ``params.yaml`` its committed composition and all that a stage
reads. Overrides on the command line compose anew from ``conf/``, for a run by hand.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from src.errors import AssayError
from src.schema import Config

PARAMS = Path("params.yaml")
CONF = Path("conf")


@dataclass(frozen=True)
class Loaded:
    """A checked configuration and the plain values it was made from."""

    config: Config
    values: dict[str, Any]
    by_hand: bool


def load(overrides: Sequence[str] = ()) -> Loaded:
    """``params.yaml`` if there are no overrides, otherwise ``conf/`` with them.

    Raises:
        AssayError: a file is missing or unreadable, or values are not allowed (all are listed).
    """
    if overrides:
        values = compose(overrides)
        return Loaded(check(values, f"conf/ with {' '.join(overrides)}"), values, by_hand=True)
    values = read_params()
    return Loaded(check(values, str(PARAMS)), values, by_hand=False)


def read_params() -> dict[str, Any]:
    """The mapping in ``params.yaml``, unchecked."""
    from omegaconf import OmegaConf
    from yaml import YAMLError

    if not PARAMS.is_file():
        raise AssayError(f"{PARAMS} is missing here ({Path.cwd().name}/). Make it: python -m src.compose")
    try:
        values = OmegaConf.to_container(OmegaConf.load(PARAMS))
    except (YAMLError, OSError, UnicodeDecodeError) as error:
        raise AssayError(f"{PARAMS} cannot be read: {error}\nMake it anew: python -m src.compose") from error
    if not isinstance(values, dict) or not values:
        raise AssayError(f"{PARAMS} holds no settings. Make it anew: python -m src.compose")
    return {str(key): value for key, value in values.items()}


def compose(overrides: Sequence[str] = ()) -> dict[str, Any]:
    """What ``conf/`` and the overrides say, resolved, as DVC's own composition makes it."""
    from omegaconf import OmegaConf

    values = OmegaConf.to_container(OmegaConf.create(compose_text(overrides)))
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def compose_text(overrides: Sequence[str] = ()) -> str:
    """The text of ``params.yaml`` for ``conf/`` and the overrides, equal to that of ``dvc exp run``."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    if not (CONF / "config.yaml").is_file():
        raise AssayError("conf/config.yaml is missing: run this in the root of the repository")
    try:
        with initialize_config_dir(str(CONF.resolve()), version_base=None):
            composed = hydra_compose("config", list(overrides))
        OmegaConf.resolve(composed)
    except (HydraException, OmegaConfBaseException) as error:
        raise AssayError(f"conf/ with {' '.join(overrides) or 'no overrides'}: {_reason(error)}") from error
    return OmegaConf.to_yaml(composed)


def check(values: Mapping[str, Any], origin: str) -> Config:
    """The typed configuration; all faults are reported at once, each with its full key."""
    try:
        return Config.model_validate(dict(values))
    except ValidationError as error:
        faults = "\n".join(f"  {fault}" for fault in _faults(error, values))
        raise AssayError(f"{origin} is not valid:\n{faults}\nThe choices are in conf/; python -m src.compose writes params.yaml anew.") from error


def differing_keys(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Dotted keys whose values are not equal, or that only one of the two has."""
    ours, theirs = dict(flatten(one)), dict(flatten(other))
    keys = sorted(ours.keys() | theirs.keys())
    missing = object()
    return [key for key in keys if ours.get(key, missing) != theirs.get(key, missing)]


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of every leaf; lists are leaves."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _reason(error: Exception) -> str:
    """Hydra's message, and where it has one, the message below it that names the key."""
    text, cause = str(error).partition("\nConfig search path")[0], str(error.__cause__ or "")
    return text if cause in text else f"{text}\n{cause}"


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
        last = place == len(location) - 1
        if isinstance(values, Mapping) and part in values:
            values = values[part]
        elif isinstance(values, list) and isinstance(part, int) and part < len(values):
            values = values[part]
        elif not last:
            continue
        parts.append(str(part))
    return ".".join(parts)


def _close(location: tuple[int | str, ...]) -> list[str]:
    """A known key that the last part may have been meant for."""
    names = _all_fields()
    return difflib.get_close_matches(str(location[-1]), sorted(names), n=1) if location else []


def _all_fields() -> set[str]:
    """Every field name of the schema."""
    from src import schema

    sections = [kind for kind in vars(schema).values() if isinstance(kind, type)]
    return {
        field.alias or name
        for kind in sections
        if issubclass(kind, schema.Section)
        for name, field in kind.model_fields.items()
    }


def _rule(fault: Any, close: list[str]) -> str:
    """The rule that was broken and the value that broke it."""
    context, value = fault.get("ctx", {}), fault["input"]
    rules = {
        "greater_than": f"must be above {context.get('gt')}",
        "greater_than_equal": f"must be at least {context.get('ge')}",
        "less_than": f"must be below {context.get('lt')}",
        "less_than_equal": f"must be at most {context.get('le')}",
        "literal_error": f"must be {context.get('expected')}",
        "union_tag_invalid": f"must be one of {context.get('expected_tags')} in {context.get('discriminator')}",
        "union_tag_not_found": f"needs {context.get('discriminator')}",
        "string_pattern_mismatch": f"must match {context.get('pattern')}",
    }
    match fault["type"]:
        case "missing":
            return "is missing"
        case "extra_forbidden":
            return "is not a known key" + (f" (did you mean {close[0]}?)" if close else "")
        case "value_error":
            return str(context["error"])
        case known:
            rule = rules.get(known, fault["msg"][0].lower() + fault["msg"][1:])
            return f"{rule}, but got {context.get('tag', value)!r}"
