"""What an ad-hoc search found, as an experiment in ``conf/`` that anyone can compose."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from src.config import experiment
from src.config.dotted_keys import set_dotted
from src.config.loading import compose

# The search is over, the machine may be another one, and conf/config.yaml decides the seed.
LEFT_OUT = ("sweep", "machine", "seed")


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
    path = experiment.experiment_path(study, "sweep.study")
    chosen = {key: str(name) for key, name in best.items() if experiment.is_group(key)}
    fields = {key: value for key, value in best.items() if key not in chosen}
    wanted = set_dotted(compose([*overrides, *(f"{group}={name}" for group, name in chosen.items())]), fields)
    groups = {**experiment.choose_groups(overrides), **chosen, "sweep": "none"}
    kept = [override for override in overrides if not _is_left_out(override)]
    comment = [
        f"# Found by an ad-hoc search: python -m src.sweep {' '.join([*kept, '…'])}",
        "# The values below are those of its best trial, written by --adopt.",
    ]
    groups = {group: name for group, name in sorted(groups.items()) if group != "machine"}
    experiment.write_experiment(path, wanted, groups, comment, other="sweep.study=OTHER", left_out=LEFT_OUT)
    return path


def _is_left_out(override: str) -> bool:
    """Fields of the search and of the machine: the storage may hold a password, a path a name."""
    key = override.lstrip("+~").partition("=")[0]
    return "." in key and key.partition(".")[0] in LEFT_OUT
