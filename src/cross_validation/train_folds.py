"""Trains and tests all folds in worker processes."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.core import progress
from src.core.errors import AssayError
from src.cross_validation.fold_task import FoldTask
from src.cross_validation.worker import run_fold_in_worker
from src.data.dataset.index import read_index
from src.data.splitting.assignment.rule_file import read_rule
from src.search.engine.worker_pool import WorkerLost, WorkerPool

if TYPE_CHECKING:
    from src.config.loading import LoadedConfig

Job = tuple[Callable[[Any], None], Any]  # a function for a worker, and its argument
RETRIES = 2  # of a fold that the machine stopped


def train_folds(
    tasks: Sequence[FoldTask],
    jobs: dict[str, Job],
    n_jobs: int,
    on_end: Callable[[FoldTask], None],
    on_break: Callable[[FoldTask], None],
    on_wait: Callable[[], None],
) -> None:
    """Finish all folds; those that an earlier run has finished are not repeated.

    Args:
        tasks: of all folds.
        jobs: what a worker does for a fold, by the name of its task.
        n_jobs: worker processes.
        on_end: called for each finished fold.
        on_break: called for each fold that failed, or was stopped because another one failed.
        on_wait: called now and then while no fold ends.

    Raises:
        AssayError: a fold fails, or the machine stops it again and again.
    """
    waiting = {task.name: task for task in tasks if not task.outcome.is_file()}
    for task in tasks:
        if task.name not in waiting:
            on_end(task)
    try:
        if waiting:
            _train_in_processes(jobs, waiting, n_jobs, on_end, on_wait)
    finally:
        for task in waiting.values():
            on_break(task)


def jobs_of(tasks: Sequence[FoldTask]) -> dict[str, Job]:
    """Train and test each fold with the settings that its task has."""
    return {task.name: (run_fold_in_worker, task) for task in tasks}


def nested_jobs_of(
    tasks: Sequence[FoldTask], loaded: "LoadedConfig", ingest: Path, split: Path
) -> dict[str, Job]:
    """Search the settings of each fold inside its training part first.

    Raises:
        AssayError: the search cannot be done inside a fold.
    """
    from src.cross_validation.nested import nested_fold, search_and_train  # torch and optuna

    index, rule = read_index(ingest), read_rule(split)
    return {task.name: (search_and_train, nested_fold(loaded, task, index, rule)) for task in tasks}


def _train_in_processes(
    jobs: dict[str, Job],
    waiting: dict[str, FoldTask],
    n_jobs: int,
    on_end: Callable[[FoldTask], None],
    on_wait: Callable[[], None],
) -> None:
    """Take each fold out of ``waiting`` once it is finished."""
    with WorkerPool(min(n_jobs, len(waiting)), RETRIES) as pool:
        for name in waiting:
            pool.submit(name, *jobs[name])
        while waiting:
            if (ended := pool.poll(progress.EVERY)) is None:
                on_wait()
                continue
            name, result = ended
            if isinstance(result, WorkerLost):
                raise AssayError(
                    f"fold {waiting[name].fold} of repeat {waiting[name].repeat} was stopped by the machine: "
                    f"{result.reason}. Finished folds are kept. Free some memory (cross_validate.n_jobs=1, a "
                    "smaller train.batch_size), then repeat"
                )
            on_end(waiting.pop(name))
