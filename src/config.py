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


@dataclass(frozen=True)
class Loaded:
    """A checked configuration and the plain values it was made from."""

    config: Config
    values: dict[str, Any]
    overrides: tuple[str, ...] = ()

    @property
    def by_hand(self) -> bool:
        """Composed from ``conf/``, and not ``params.yaml``."""
        return bool(self.overrides)


def load(overrides: Sequence[str] = ()) -> Loaded:
    """``params.yaml`` if there are no overrides, otherwise ``conf/`` with them.

    Raises:
        AssayError: a file is missing or unreadable, or values are not allowed (all are listed).
    """
    if overrides:
        values = compose(overrides)
        return Loaded(check(values, f"conf/ with {' '.join(overrides)}"), values, tuple(overrides))
    values = read_params()
    return Loaded(check(values, str(PARAMS)), values)


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
    from yaml import YAMLError

    if not (CONF / "config.yaml").is_file():
        raise AssayError("conf/config.yaml is missing: run this in the root of the repository")
    try:
        with initialize_config_dir(str(CONF.resolve()), version_base=None):
            composed = hydra_compose("config", list(overrides))
        OmegaConf.resolve(composed)
    except (HydraException, OmegaConfBaseException, YAMLError) as error:  # YAMLError: a key twice, say
        raise AssayError(f"conf/ with {' '.join(overrides) or 'no overrides'}: {_reason(error)}") from error
    return OmegaConf.to_yaml(composed)


def check(values: Mapping[str, Any], origin: str) -> Config:
    """The typed configuration; all faults are reported at once, each with its full key."""
    try:
        return Config.model_validate(dict(values))
    except ValidationError as error:
        faults = "\n".join(f"  {fault}" for fault in _faults(error, values))
        mend = "The choices are in conf/; python -m src.compose writes params.yaml anew."
        raise AssayError(f"{origin} is not valid:\n{faults}\n{mend}") from error


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
