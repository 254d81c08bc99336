"""A configuration as an experiment in ``conf/`` that anyone can compose."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from src.config.dotted_keys import differing_keys
from src.config.loading import CONF, PARAMS, compose, compose_text
from src.config.patterns import WORDS
from src.config.schema.base import NAME
from src.core.errors import AssayError
from src.core.files import write_text

EXPERIMENTS = CONF / "experiment"
DEFAULTS = CONF / "config.yaml"
CHOICE = re.compile(r"^(\s*- experiment: *)([^\s#]+)", re.MULTILINE)  # of conf/config.yaml


@dataclass(frozen=True)
class SavedExperiment:
    """What :func:`save_as_default` has written."""

    path: Path
    base: str  # the experiment that it builds on; "null": the defaults of conf/ alone
    earlier: str  # the experiment that was the default until now; "null": none
    replaced: bool  # whether the file had another content before


def save_as_default(name: str, overrides: Sequence[str]) -> SavedExperiment:
    """Keep ``conf/`` with the overrides as an experiment, and make it what ``conf/`` composes to.

    Writes the experiment, its name in ``conf/config.yaml`` and ``params.yaml``. The experiment that is the
    default already can be saved again.

    Raises:
        AssayError: Another experiment has this name, or no experiment can express the overrides. Nothing has
            changed then.
    """
    path, earlier = experiment_path(name, "--save"), current_experiment()
    defaults, named = CHOICE.subn(rf"\g<1>{name}", DEFAULTS.read_text(encoding="utf-8"), count=1)
    if not named:
        raise AssayError(
            f"{DEFAULTS} has no line `- experiment: null` in its defaults, to name {name}: add it"
        )
    wanted = compose(overrides)
    groups = {group: choice for group, choice in choose_groups(overrides).items() if group != "machine"}
    comment = [f"# Saved by: python -m src.compose --save {name}"]
    base = _choices(overrides).get("experiment", earlier)
    with _undone_on_error(path, DEFAULTS):
        replaced = write_experiment(
            path, wanted, groups, comment, other="--save OTHER", replace=name == earlier
        )
        write_text(DEFAULTS, defaults)
        write_text(PARAMS, compose_text())
    return SavedExperiment(path, base, earlier, replaced)


def write_experiment(
    path: Path,
    wanted: Mapping[str, Any],
    groups: Mapping[str, str],
    comment: Sequence[str],
    *,
    other: str,
    left_out: Collection[str] = (),
    replace: bool = False,
) -> bool:
    """Write an experiment, and check that it composes to what is wanted.

    Args:
        path: In ``conf/experiment``.
        wanted: All values.
        groups: The choice of each group.
        comment: Lines above it, each with its ``#``.
        other: How to choose another name, for the message.
        left_out: Sections that it does not decide.
        replace: Whether an experiment with this name may be overwritten.

    Returns:
        Whether the file had another content before.

    Raises:
        AssayError: Another experiment has this name, or no experiment can express what is wanted. Nothing has
            changed then.
    """

    def without(values: Mapping[str, Any]) -> dict[str, Any]:
        return {section: value for section, value in values.items() if section not in left_out}

    text = experiment_text(comment, groups, difference(without(_base(groups)), without(wanted)))
    differs = path.is_file() and path.read_text(encoding="utf-8") != text
    if differs and not replace:
        raise AssayError(f"{path} exists already and differs. Choose another name: {other}")
    with _undone_on_error(path):
        write_text(path, text)
        refuse_difference(without(compose([f"experiment={path.stem}"])), without(wanted))
    return differs


def experiment_path(name: str, option: str) -> Path:
    """The file of an experiment; ``option`` is what gave the name."""
    if not re.fullmatch(NAME, name):
        raise AssayError(f"{option} needs {WORDS[NAME]} to name a file, but got {name!r}")
    return EXPERIMENTS / f"{name}.yaml"


def experiment_text(comment: Sequence[str], groups: Mapping[str, str], changes: Mapping[str, Any]) -> str:
    """The content of the file."""
    lines = [
        "# @package _global_",
        *comment,
        "defaults:",
        *(f"  - override /{group}: {name}" for group, name in groups.items()),
        "  - _self_",
    ]
    values = yaml.safe_dump(dict(changes), sort_keys=False, allow_unicode=True) if changes else ""
    return "\n".join(lines) + "\n" + values


def refuse_difference(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raise ``AssayError`` with the keys that an experiment has not brought to their values."""
    differing = differing_keys(found, wanted)
    if differing:
        raise AssayError(
            f"an experiment cannot express this: {', '.join(differing)} would differ. Set them in conf/ "
            "yourself (conf/experiment/fashion_mnist.yaml is an example; the seed is in conf/config.yaml)"
        )


def choose_groups(overrides: Sequence[str]) -> dict[str, str]:
    """Group -> choice: of the experiment, then of the overrides."""
    chosen = _choices(overrides)
    experiment = chosen.pop("experiment", current_experiment())
    return dict(sorted({**_choices_of_experiment(experiment), **chosen}.items()))


def is_group(key: str) -> bool:
    """Whether a key chooses from a group of ``conf/``."""
    return "." not in key and (CONF / key).is_dir()


def _choices(overrides: Iterable[str]) -> dict[str, str]:
    """Of overrides on the command line, such as ``model=lenet``."""
    pairs = (override.lstrip("+").partition("=") for override in overrides)
    return {key: value.strip("'\"") for key, _, value in pairs if is_group(key)}


def current_experiment() -> str:
    """The one that conf/config.yaml names; "null" for none."""
    defaults = _read(DEFAULTS).get("defaults", [])
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


def difference(base: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The nested values that turn ``base`` into ``wanted`` when they are merged into it."""
    changes: dict[str, Any] = {}
    for key, value in wanted.items():
        before = base.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            if inner := difference(before, value):
                changes[key] = inner
        elif key not in base or value != before:
            changes[key] = value
    return changes


@contextmanager
def _undone_on_error(*paths: Path) -> Iterator[None]:
    """Give files the content that they have now if the block fails."""
    before = {path: path.read_text(encoding="utf-8") if path.is_file() else None for path in paths}
    try:
        yield
    except BaseException:
        for path, text in before.items():
            path.unlink(missing_ok=True) if text is None else write_text(path, text)
        raise
