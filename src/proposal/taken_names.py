"""Where a proposal is written, and whether its name is taken."""

import os
from pathlib import Path

from src.config.experiment import DEFAULTS, EXPERIMENTS, current_experiment
from src.config.loading import CONF
from src.core.errors import AssayError

DATA = CONF / "data"


def data_file(name: str) -> Path:
    """Where the data set is described."""
    return DATA / f"{name}.yaml"


def experiment_file(name: str) -> Path:
    """Where the choices are."""
    return EXPERIMENTS / f"{name}.yaml"


def describe_taken(name: str, folder: Path, raw: Path) -> str:
    """A sentence that says what already has this name; "" if nothing has.

    Args:
        folder: with the images.
        raw: data/raw; a folder there keeps its place.

    Raises:
        AssayError: The folder is in data/raw under another name.
    """
    inside = folder.resolve().parent == raw.resolve()
    if inside and folder.resolve().name != name:
        raise AssayError(
            f"{folder} is already in {raw}, where the folder's name is the name of the data: "
            "leave out --name, or rename the folder"
        )
    taken = [path for path in (data_file(name), experiment_file(name)) if os.path.lexists(path)]
    taken += [] if inside else [path for path in (raw / name, raw / f"{name}.dvc") if os.path.lexists(path)]
    return f"{name} is taken ({', '.join(map(str, taken))})" if taken else ""


def describe_way_out(name: str) -> str:
    """What to do about a name that is taken."""
    default = f", set `- experiment: null` in {DEFAULTS}, and run `python -m src.compose`"
    return (
        "Choose another name: --name OTHER. To begin again, first remove what is named here"
        f"{default if current_experiment() == name else ''}"
    )
