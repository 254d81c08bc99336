"""Cross-validate the base model's settings: train on k folds, test each model on the fold it has not seen.

    dvc repro cross_validate                                       as a stage of the pipeline
    python -m src.cross_validate cross_validate.repeats=3          an ad-hoc run, into outputs/cross_validate/

Reads data/ingest, data/split and sweep/best.yaml. The folds divide train + validation; test images are in
none of them. Each fold has its own normalization and sets part of its training images aside to choose the
epoch. Writes reports/cross_validate: metrics.json (mean, deviation and limits of each metric), folds.csv,
predictions.parquet (of the held-out images), confusion.csv, confusion.png and folds.png. Five folds of the
digits take about a minute on 2 cores. After a kill, finished folds are kept and the others continue from
their last epoch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from src.core.cpus import resolve_n_jobs
from src.core.progress import progress_bar
from src.core.wording import counted
from src.pipeline.execution import StageRun, run_stage
from src.pipeline.paths import INGEST, SPLIT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from src.config.schema import Config
    from src.cross_validation.fold_task import FoldTask


def build(config: Config, run: StageRun) -> None:
    """Write the report into ``run.folder``."""
    from src.cross_validation.fold_tasks import make_tasks

    tasks = make_tasks(run.job.loaded, INGEST, SPLIT, run.state, run.root, run.attempt.record)
    _train(config, run, tasks)

    from src.cross_validation.publish import publish_folds, read_report  # torch: not beside the workers
    from src.data.dataset.spec import describe_split

    outcomes, train = [task.outcome for task in tasks], tasks[0].train
    report, numerics = read_report(outcomes, INGEST, _selection(config), config.evaluate, train)
    figures = publish_folds(run.folder, report, describe_split(INGEST, SPLIT))
    run.log(metrics=report.to_metrics(), figures=figures, numerics=numerics, selection=report.selection)
    run.say(report.sentence())


def _train(config: Config, run: StageRun, tasks: Sequence[FoldTask]) -> None:
    from src.cross_validation.train_folds import jobs_of, nested_jobs_of, train_folds

    settings = config.cross_validate
    nested = _selection(config) == "nested"
    jobs = nested_jobs_of(tasks, run.job.loaded, INGEST, SPLIT) if nested else jobs_of(tasks)
    n_jobs = resolve_n_jobs(settings.n_jobs, settings.threads)
    run.say(f"{counted(len(tasks), 'fold')}, {n_jobs} at a time")
    with progress_bar("Folds", total=len(tasks), show=run.progress) as advance:

        def on_break(task: FoldTask) -> None:
            run.tracker.show_child(task.lineage)

        def on_end(task: FoldTask) -> None:
            on_break(task)
            advance(1)

        train_folds(tasks, jobs, n_jobs, on_end, on_break, on_wait=lambda: advance(0))


def _selection(config: Config) -> str:
    """How the settings of the folds were chosen."""
    if config.sweep.method == "none":
        return "none"
    return "nested" if config.cross_validate.nested else "non-nested"


if __name__ == "__main__":
    run_stage("cross_validate", build, __doc__)
