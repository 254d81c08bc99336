"""Overrides on the command line: dictionaries that replace others, and what is wrong with an override."""

import difflib
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Sweep
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src.config.dotted_keys import lookup
from src.config.fields import schema_fields
from src.config.suggestions import did_you_mean
from src.core.errors import AssayError

# Dictionaries whose keys people choose. KEY={…} replaces all of one, +KEY={…} adds to it.
FREE = (
    *("train.optimizer.options", "train.class_weights"),
    *("sweep.space", "sweep.proxy", "sweep.objectives", "cross_validate.proxy", "compress.variants"),
    "evaluate.decision.costs",
)
OPTIONAL = ("debug", "experiment")  # groups of which nothing need be chosen
NOISE = (
    "To append to your",
    "See https://hydra",
    "Either remove",
    "Or add a second",
    "object_type",
    "full_key",
)


def replaced(overrides: Sequence[str]) -> list[str]:
    """The free dictionaries that overrides replace."""
    return [key for override in overrides for key in FREE if override.startswith(f"{key}={{")]


def for_hydra(overrides: Sequence[str]) -> list[str]:
    """The overrides in Hydra's own words, which would merge ``KEY={…}`` into the default.

    >>> for_hydra(["sweep.space={a: '1,2'}"])
    ['~sweep.space', "+sweep.space={a: '1,2'}"]
    """
    parts: list[str] = []
    for override in overrides:
        keys = replaced([override])
        group, _, name = override.partition("=")
        if group in OPTIONAL and name == "null":  # as conf/config.yaml writes it, which Hydra refuses here
            parts.append(f"~{group}")
        else:
            parts += [f"~{keys[0]}", f"+{override}"] if keys else [override]
    return parts


def repeated(overrides: Sequence[str]) -> list[str]:
    """A fault for each key that has two different values."""
    values: dict[str, list[str]] = {}
    for override in overrides:
        key, sign, value = override.partition("=")
        if sign and value not in values.setdefault(key, []):
            values[key].append(value)
    return [f"{key}: is set to {' and to '.join(v)}: keep one" for key, v in values.items() if len(v) > 1]


def explain(overrides: Sequence[str], conf: Path, values: Mapping[str, Any], known: set[str]) -> list[str]:
    """What is wrong with each override, and how to fix it; empty if nothing is found.

    Args:
        overrides: As on the command line.
        conf: The folder of Hydra's groups.
        values: What conf/ composes to without the faulty overrides.
        known: The keys of all fields.
    """
    if "=" in overrides:  # the shell has split it
        return ["write no spaces around =, such as train.epochs=3"]
    faults: list[str] = []
    for text in overrides:
        try:
            override = OverridesParser.create().parse_override(text)
            faults += _Faults(override, text, conf, values, known).all()
        except (HydraException, RecursionError):
            faults.append(f"{text}: {_syntax_hint(text)}")
    return faults


def harmless(overrides: Sequence[str], conf: Path) -> list[str]:
    """The overrides that choose an existing entry of a group: those that the others can be judged with."""
    pairs = [(override, *override.partition("=")[::2]) for override in overrides]
    return [text for text, group, name in pairs if name in choices(conf, group)]


def choices(conf: Path, group: str) -> list[str]:
    """What conf/ has for a group; empty if it is not one."""
    plain = group.isidentifier()
    return sorted(path.stem for path in (conf / group).glob("*.yaml")) if plain else []


def without_noise(text: str) -> str:
    """Hydra's message without advice that is wrong here: the schema refuses keys that ``+`` adds."""
    lines = text.partition("\nConfig search path")[0].splitlines()
    return "\n".join(line for line in lines if line.strip() and not line.strip().startswith(NOISE))


class _Faults:
    """Judges one override."""

    def __init__(
        self, override: Override, text: str, conf: Path, values: Mapping[str, Any], known: set[str]
    ) -> None:
        self.override, self.text, self.conf, self.values, self.known = override, text, conf, values, known
        self.key = override.key_or_group

    def all(self) -> Iterator[str]:
        override, found = self.override, _value(self.values, self.key)
        if override.is_sweep_override() and not override.is_delete():
            yield (
                f"{self.text}: needs one value, or a list in brackets: {self.key}=[…]. To try several "
                "values, search: python -m src.sweep"
            )
        elif choices(self.conf, self.key) and not isinstance(override.value(), dict):
            yield from self._group()
        elif not _exists(self.values, self.key):
            yield f"{self.key}: {self._unknown()}"
        elif _has_sweep(override.value()):
            yield f"{self.key}: quote the values: \"{self.key}={{train.optimizer.lr: 'interval(0.1, 1)'}}\""
        elif {type(override.value()), type(found)} == {list, dict}:
            yield f"{self.text}: {self._other_kind(found)}"
        elif override.is_add() and not override.is_force_add() and self.key not in FREE:
            yield f"{self.text}: exists already. Without the +: {self.text.lstrip('+')}"

    def _other_kind(self, found: Any) -> str:
        """A dictionary where a list belongs, or a list where a dictionary does."""
        if isinstance(found, list):
            return f"{self.key} is a list: {self.key}=[…]"
        inner = sorted(key for key in self.known if key.startswith(f"{self.key}."))
        fix = f"set one of its keys, such as {inner[0]}" if inner else f"{self.key}={{key: value}}"
        return f"{self.key} is not a list: {fix}"

    def _group(self) -> Iterator[str]:
        names, name = choices(self.conf, self.key), self.override.value()
        shown = f"conf/{self.key}/ has {', '.join(names)}"
        if self.override.is_delete():
            if self.key not in OPTIONAL:
                yield f"{self.text}: {self.key} cannot be left out. {shown}"
        elif self.override.is_add():
            yield f"{self.text}: without the +: {self.text.lstrip('+')}"
        elif name is not None and str(name) not in names:
            near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.75)
            question = f" (did you mean {near[0]}?)" if near else ""
            yield f"{self.text}: {shown}{question}{self._fields_hint()}"

    def _fields_hint(self) -> str:
        """How to set a field, for those who meant one and not a choice of the group."""
        if self.key == "model":
            return ". Any timm model: model=timm model.name=NAME"
        fields = sorted(key for key in self.known if key.startswith(f"{self.key}."))
        return f". To set one of its fields: {fields[0]}=…" if fields else ""

    def _unknown(self) -> str:
        free = next((key for key in FREE if self.key.startswith(f"{key}.")), None)
        if free == "compress.variants" and self.key.count(".") == 2:
            return f"is not a variant yet. To add it: +{self.text}"
        if free is not None:
            inner = self.key.removeprefix(f"{free}.")
            return (
                f"write the dictionary: +{free}={{{inner}: …}} adds to the default, {free}={{…}} replaces it"
            )
        elsewhere = self._elsewhere()
        if elsewhere:
            *others, last = elsewhere
            return f"exists only with {', '.join(others)}{' or ' if others else ''}{last}. Add that"
        groups = {path.name for path in self.conf.iterdir() if path.is_dir()}
        unchosen = {*OPTIONAL} - {self.key.partition(".")[0]}
        known = {key for key in self.known if key.partition(".")[0] not in unchosen}
        hint = did_you_mean(self.key, known | groups)
        listed = f". The groups are {', '.join(sorted(groups))}" if not hint and "." not in self.key else ""
        return f"is not a known key{hint}{listed}"

    def _elsewhere(self) -> list[str]:
        """Other choices of its group that have the key, such as model=timm for model.name.

        Choices that only change another one are left out.
        """
        group, _, rest = self.key.partition(".")
        files = {name: _read(self.conf / group / f"{name}.yaml") for name in choices(self.conf, group)}
        whole = {name: content for name, content in files.items() if not _builds_on_another(content)}
        return [f"{group}={name}" for name, content in whole.items() if rest and _exists(content, rest)]


def _read(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {}


def _builds_on_another(content: Mapping[str, Any]) -> bool:
    """Whether a choice of a group starts from another one, such as ``- torchvision`` in its defaults."""
    return any(isinstance(item, str) and item != "_self_" for item in content.get("defaults", []))


def _exists(values: Mapping[str, Any], key: str) -> bool:
    try:
        missing = object()
        return OmegaConf.select(OmegaConf.create(dict(values)), key, default=missing) is not missing
    except (OmegaConfBaseException, ValueError):
        return False


def _value(values: Mapping[str, Any], key: str) -> Any:
    """The value at a dotted key; None where there is none."""
    try:
        return lookup(values, key)
    except AssayError:
        return None


def _has_sweep(value: Any) -> bool:
    """Whether a dictionary has a choice or an interval that is not quoted."""
    return isinstance(value, dict) and any(isinstance(inner, Sweep) for inner in value.values())


def _syntax_hint(text: str) -> str:
    key, sign, value = text.partition("=")
    if sign and value.strip() and _is_text(key):
        quoted = value.replace('"', '\\"')
        shown = shlex.quote(f'{key}="{quoted}"')
        return f"is not in Hydra's syntax. Quote the value for Hydra, and all of it for the shell: {shown}"
    if any(text.count(left) != text.count(right) for left, right in ("[]", "{}", "()")):
        return "the brackets do not match. Quote the whole override for the shell: 'KEY={a: 1, b: 2}'"
    if not sign:
        words = text.split()
        return f"write KEY=VALUE, such as {words[0]}={words[1] if len(words) > 1 else '…'}"
    if not key or key != key.strip() or value != value.strip():
        return f"write no spaces around =, such as {key.strip() or 'KEY'}={value.strip() or 'VALUE'}"
    return (
        "is not in Hydra's syntax. Quote strings with special characters, and all of it for the shell: "
        f"\"{key}='a string'\", \"{key}=['a <= 1']\""
    )


def _is_text(key: str) -> bool:
    """Whether a field holds any text, such as the pattern of data.subject."""
    return any(field.key == key and field.type.startswith("string") for field in schema_fields())
