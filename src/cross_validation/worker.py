"""Runs a fold in a worker process."""

from src.cross_validation.fold_task import FoldTask


def run_fold_in_worker(task: FoldTask) -> None:
    """``run_fold`` in a worker process; what comes of it is read from ``task.outcome``."""
    from src.cross_validation.fold import run_fold  # torch, which only the workers need

    run_fold(task)
