"""A command that measures what a setting of ``train`` should be, and changes nothing."""

import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from src.core.errors import ends_with_message
from src.pipeline.job import find_job, parse_arguments, with_best_settings
from src.pipeline.numerics import hold

if TYPE_CHECKING:  # heavy, and not needed for --help
    from src.config.schema import Config

Measure = Callable[["Config"], Iterator[str]]


def run_measurement(name: str, measure: Measure, doc: str | None) -> NoReturn:
    """Run the command ``name``; never returns.

    Args:
        measure: Gets the configuration that ``train`` would have; yields lines for the terminal.
        doc: What ``--help`` shows.
    """
    arguments = parse_arguments(name, doc)
    from src.config.loading import refuse_debug

    with ends_with_message(name):
        job = with_best_settings(find_job(arguments, "train"))
        config = job.loaded.config
        refuse_debug(config, name)
        hold(job)
        for line in measure(config):
            print(f"{name:<20} {line}", flush=True)
    sys.exit(0)


def new_folder(name: str) -> Path:
    """For what the command draws, below outputs/."""
    folder = Path("outputs") / name / f"{datetime.now():%Y-%m-%d_%H-%M-%S}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
