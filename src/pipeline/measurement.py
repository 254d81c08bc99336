"""A command that measures what a setting of ``train`` should be, and changes nothing."""

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from src.core.errors import ends_with_message
from src.pipeline.job import find_job, parse_arguments, with_best_settings
from src.pipeline.numerics import hold

if TYPE_CHECKING:  # heavy, and not needed for --help
    from src.config.schema import Config

Measure = Callable[["Config", Sequence[str]], Iterator[str]]


def run_measurement(name: str, measure: Measure, doc: str | None) -> NoReturn:
    """Run the command ``name``; never returns.

    Args:
        measure: Gets the configuration that ``train`` would have, and the overrides of the command line;
            yields lines for the terminal.
        doc: What ``--help`` shows.
    """
    arguments = parse_arguments(name, doc)
    from src.config.loading import refuse_debug

    with ends_with_message(name):
        job = with_best_settings(find_job(arguments, "train"))
        config = job.loaded.config
        refuse_debug(config, name)
        hold(job)
        for line in measure(config, arguments.overrides):
            print(f"{name:<20} {line}", flush=True)
    sys.exit(0)


def command_with(name: str, overrides: Sequence[str], setting: str) -> str:
    """The command ``name`` with the same overrides and this one, as a shell takes it."""
    key = setting.partition("=")[0]
    kept = [override for override in overrides if override.partition("=")[0].lstrip("+") != key]
    return shlex.join(["python", "-m", f"src.{name}", *kept, setting])


def new_folder(name: str) -> Path:
    """For what the command draws, below outputs/."""
    folder = Path("outputs") / name / f"{datetime.now():%Y-%m-%d_%H-%M-%S}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
