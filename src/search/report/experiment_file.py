"""What an ad-hoc search found, as an experiment in ``conf/`` that anyone can compose."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from src.config.dotted_keys import differing_keys, set_dotted
from src.config.loading import CONF, compose
from src.core.errors import AssayError

EXPERIMENTS = CONF / "experiment"
# The search is over, the machine may be another one, and conf/config.yaml decides the seed.
LEFT_OUT = ("sweep", "machine", "seed")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def write_experiment(study: str, overrides: Sequence[str], best: Mapping[str, Any]) -> Path:
    """Write ``conf/experiment/<study>.yaml``, and check that it composes to what was searched, with ``best``.

    Args:
        study: The name of the experiment.
        overrides: Those that the search was composed with. All of them are kept, except for the sweep
            (which becomes none), the machine and the seed.
        best: Field or group of conf/ -> value.

    Returns:
        The path of the file.

    Raises:
        AssayError: Another experiment has this name, or ``best`` does not fit the overrides.
    """
    path = _path(study)
    wanted = _without(_wanted(overrides, best))
    groups = _groups(overrides, best)
    changes = _difference(_without(_base(groups)), wanted)
    written = _write(path, _text(overrides, groups, changes))
    differing = differing_keys(_without(compose([f"experiment={study}"])), wanted)
    if differing:
        if written:
            path.unlink()
        raise AssayError(
            f"an experiment cannot express what the search found: {', '.join(differing)} would differ. "
            "Set them in conf/ yourself (conf/experiment/fashion_mnist.yaml is an example)"
        )
    return path


def _path(study: str) -> Path:
    if not NAME.fullmatch(study):
        raise AssayError(f"sweep.study must match {NAME.pattern} to name a file, but got {study!r}")
    return EXPERIMENTS / f"{study}.yaml"


def _wanted(overrides: Sequence[str], best: Mapping[str, Any]) -> dict[str, Any]:
    chosen = [f"{group}={name}" for group, name in best.items() if _is_group(group)]
    fields = {field: value for field, value in best.items() if not _is_group(field)}
    return set_dotted(compose([*overrides, *chosen]), fields)


def _is_group(key: str) -> bool:
    return "." not in key and (CONF / key).is_dir()


def _groups(overrides: Sequence[str], best: Mapping[str, Any]) -> dict[str, str]:
    """Group -> choice: of the experiment, then of the overrides, then of the best trial; no search."""
    chosen = {**_choices(overrides), **{key: str(name) for key, name in best.items() if _is_group(key)}}
    experiment = chosen.pop("experiment", _current_experiment())
    groups = {**_choices_of_experiment(experiment), **chosen, "sweep": "none"}
    return {group: name for group, name in sorted(groups.items()) if group != "machine"}


def _choices(overrides: Iterable[str]) -> dict[str, str]:
    """Of overrides on the command line, such as ``model=lenet``."""
    pairs = (override.lstrip("+").partition("=") for override in overrides)
    return {key: value.strip("'\"") for key, _, value in pairs if _is_group(key)}


def _current_experiment() -> str:
    """The one that conf/config.yaml names; the new one replaces it."""
    defaults = _read(CONF / "config.yaml").get("defaults", [])
    named = [item["experiment"] for item in defaults if isinstance(item, dict) and "experiment" in item]
    return str(named[0] or "null") if named else "null"


def _choices_of_experiment(name: str) -> dict[str, str]:
    """What an experiment's ``override /model: lenet`` says."""
    if name in ("null", ""):
        return {}
    items = [
        item for item in _read(EXPERIMENTS / f"{name}.yaml").get("defaults", []) if isinstance(item, dict)
    ]
    pairs = [(str(key).partition("/"), str(value)) for item in items for key, value in item.items()]
    return {group: value for (word, _, group), value in pairs if word == "override "}


def _read(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {}


def _base(groups: Mapping[str, str]) -> dict[str, Any]:
    return compose(["~experiment", *(f"{group}={name}" for group, name in groups.items())])


def _without(values: Mapping[str, Any]) -> dict[str, Any]:
    return {section: value for section, value in values.items() if section not in LEFT_OUT}


def _difference(base: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The nested values that turn ``base`` into ``wanted`` when they are merged into it."""
    changes: dict[str, Any] = {}
    for key, value in wanted.items():
        before = base.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            if inner := _difference(before, value):
                changes[key] = inner
        elif key not in base or value != before:
            changes[key] = value
    return changes


def _text(overrides: Sequence[str], groups: Mapping[str, str], changes: Mapping[str, Any]) -> str:
    kept = [override for override in overrides if not _is_left_out(override)]
    lines = [
        "# @package _global_",
        f"# Found by an ad-hoc search: python -m src.sweep {' '.join([*kept, '…'])}",
        "# The values below are those of its best trial, written by --adopt.",
        "defaults:",
        *(f"  - override /{group}: {name}" for group, name in groups.items()),
        "  - _self_",
    ]
    values = yaml.safe_dump(dict(changes), sort_keys=False, allow_unicode=True) if changes else ""
    return "\n".join(lines) + "\n" + values


def _is_left_out(override: str) -> bool:
    """Fields of the search and of the machine: the storage may hold a password, a path a name."""
    key = override.lstrip("+~").partition("=")[0]
    return "." in key and key.partition(".")[0] in LEFT_OUT


def _write(path: Path, text: str) -> bool:
    """Whether the file is new.

    Raises:
        AssayError: It exists with other content.
    """
    if path.is_file():
        if path.read_text(encoding="utf-8") == text:
            return False
        raise AssayError(f"{path} exists already and differs. Choose another name: sweep.study=OTHER")
    path.write_text(text, encoding="utf-8")
    return True
