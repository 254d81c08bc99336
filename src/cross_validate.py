"""Train with the settings of the base model on k folds, and test each training on the fold it has not seen.

    dvc repro cross_validate                                       as a part of the pipeline
    python -m src.cross_validate cross_validate.repeats=3          by hand, below outputs/cross_validate/

Reads data/ingest, data/split and sweep/best.yaml; the folds divide train + validation, and test images are
in none. Each fold has its own normalization and sets a part of its training images aside to choose the epoch.
Writes reports/cross_validate: metrics.json (mean, deviation and 95% limits of each figure), folds.csv,
predictions.parquet (of the held-out images), confusion.csv, confusion.png and folds.png. Five folds of the
digits take about a minute on 2 cores. What was killed keeps its finished folds, and goes on with the others
from their last epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.pipeline.execution import StageRun, run_stage

if TYPE_CHECKING:
    from src.config.schema import Config
    from src.cross_validation.fold import FoldResult
    from src.cross_validation.fold_task import FoldTask
    from src.cross_validation.report import CrossValidationReport


Work = tuple[Callable[[Any], None], Any]  # a function for a worker, and its argument
INGEST = Path("data/ingest")
RETRIES = 2  # of a fold that the machine stopped


def build(config: Config, run: StageRun) -> None:
    """Write the report into ``run.folder``."""
    from src.cross_validation.fold_tasks import make_tasks

    tasks = make_tasks(config, run.state, run.root, run.attempt.record)
    _train(config, run, tasks)

    from src.cross_validation.fold import read_folds
    from src.cross_validation.publish import publish_folds  # torch, when the workers need it no more

    results = read_folds([task.outcome for task in tasks])
    report = _summarize(config, results)
    figures = publish_folds(run.folder, report)
    numerics = results[0].numerics
    run.log(metrics=report.to_metrics(), figures=figures, numerics=numerics, selection=report.selection)
    run.say(report.sentence())


def _train(config: Config, run: StageRun, tasks: list[FoldTask]) -> None:
    """Finish all folds; those that are finished already are kept."""
    from src.core.cpus import resolve_n_jobs
    from src.core.progress import progress_bar

    waiting = {task.name: task for task in tasks if not task.outcome.is_file()}
    n_jobs = resolve_n_jobs(config.cross_validate.n_jobs, config.cross_validate.threads)
    with progress_bar("Folds", total=len(tasks), show=run.progress) as advance:

        def on_end(task: FoldTask) -> None:
            run.tracker.show_child(task.lineage)
            advance(1)

        for task in tasks:
            if task.name not in waiting:
                on_end(task)
        works = _works(config, run, waiting)
        try:
            _train_in_processes(works, waiting, n_jobs, on_end)
        finally:
            for task in waiting.values():  # that failed, or were broken off by one that did
                run.tracker.show_child(task.lineage)


def _works(config: Config, run: StageRun, tasks: dict[str, FoldTask]) -> dict[str, Work]:
    """What a worker does for each fold."""
    if _selection(config) != "nested":
        from src.cross_validation.worker import run_fold_in_worker

        return {name: (run_fold_in_worker, task) for name, task in tasks.items()}

    from src.cross_validation.nested import nested_fold, search_and_train
    from src.data.dataset.index import read_index

    rows, loaded = read_index(INGEST), run.job.loaded
    return {name: (search_and_train, nested_fold(loaded, task, rows)) for name, task in tasks.items()}


def _train_in_processes(
    works: dict[str, Work], waiting: dict[str, FoldTask], n_jobs: int, on_end: Callable[[FoldTask], None]
) -> None:
    """Take each fold out of ``waiting`` once it is finished."""
    from src.core.errors import AssayError
    from src.core.worker_pool import WorkerLost, WorkerPool

    if not waiting:
        return
    with WorkerPool(min(n_jobs, len(waiting)), RETRIES) as pool:
        for name, (function, argument) in works.items():
            pool.submit(name, function, argument)
        while waiting:
            name, result = pool.collect()
            if isinstance(result, WorkerLost):
                raise AssayError(
                    f"fold {waiting[name].fold} of repeat {waiting[name].repeat} was stopped by the machine: "
                    f"{result.reason}. Finished folds are kept. Give it more room "
                    "(cross_validate.n_jobs=1, a "
                    "smaller train.batch_size), then repeat"
                )
            on_end(waiting.pop(name))


def _summarize(config: Config, results: list[FoldResult]) -> CrossValidationReport:
    import json

    from src.cross_validation.report import FoldPredictions, cross_validation
    from src.data.dataset.index import read_index
    from src.evaluation.metrics.classification import softmax
    from src.models.numerics import deterministic

    folds = [
        FoldPredictions(
            repeat=result.repeat,
            fold=result.fold,
            ids=result.ids,
            targets=result.targets,
            probabilities=softmax(result.logits),
            train_images=result.train_images,
            val_images=result.val_images,
            epoch=result.epoch,
            epochs=result.epochs,
            about={"weights": result.weights}
            | ({"settings": json.dumps(result.settings)} if config.cross_validate.nested else {}),
        )
        for result in results
    ]
    classes = read_index(INGEST).classes
    with deterministic(config.cross_validate.threads):
        return cross_validation(folds, classes, _selection(config), config.evaluate)


def _selection(config: Config) -> str:
    """How the settings of the folds were chosen."""
    if config.sweep.method == "none":
        return "none"
    return "nested" if config.cross_validate.nested else "non-nested"


if __name__ == "__main__":
    run_stage("cross_validate", build, __doc__)
