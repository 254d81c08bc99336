"""Runs a fold in a worker process; imports torch only there."""

from src.cross_validation.fold_task import FoldTask


def run_fold_in_worker(task: FoldTask) -> None:
    """Run the fold; its result is in ``task.outcome``."""
    from src.cross_validation.fold import run_fold

    run_fold(task)
