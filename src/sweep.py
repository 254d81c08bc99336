"""Search for better settings of the training with Optuna, on the validation split or on folds.

    dvc repro sweep                                          as a part of the pipeline, with params.yaml
    python -m src.sweep sweep=grid model=lenet               a search of one's own, into outputs/sweep/
    python -m src.sweep sweep.trials=40 --adopt              and an experiment of what it found, in conf/
    python -m src.sweep --worker STUDY sweep.storage=URL     join a study that several machines share

Writes sweep/: best.yaml (field: value; train and cross_validate use it), trials.csv, importance.csv and
figures. The default search on the digits, 12 short trainings, takes half a minute on 2 cores. A search that
was killed keeps its finished trials, and goes on with the interrupted ones from their last epoch.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from src.pipeline.execution import StageRun, run_stage
from src.pipeline.job import parse_arguments

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Callable

    from src.config.schema import Config
    from src.search.engine.plan import SearchPlan
    from src.search.engine.records import Trial, TrialResult
    from src.search.engine.trial_configs import TrialConfigs
    from src.search.engine.trial_task import TrialTask
    from src.search.report.publish import SearchReport


def build(config: Config, run: StageRun, train: Callable[[TrialTask], TrialResult] | None = None) -> None:
    """Search, and write what was found into ``run.folder``; ``train`` is what a worker does with a trial."""
    from src.search.engine.trial_configs import TrialConfigs, make_plan
    from src.search.report.publish import publish_nothing, write_report

    if config.sweep.method == "none":
        publish_nothing(run.folder)
        run.say("sweep=none: the settings of params.yaml stay as they are")
        return
    _refuse_timing(config, run)
    candidates = TrialConfigs(run.job.loaded)
    plan = make_plan(candidates, config.seed)
    trials = _search(config, run, candidates, plan, train)
    found = write_report(run.folder, plan, trials)
    _tell(config, run, plan, trials, found)


def _refuse_timing(config: Config, run: StageRun) -> None:
    """The pipeline's results depend on the inputs alone."""
    from src.core.errors import AssayError

    free = {
        "sweep.asynchronous": config.sweep.asynchronous,
        "sweep.storage": config.sweep.storage != "embedded",
    }
    asked = [key for key, value in free.items() if value]
    if asked and not run.job.loaded.is_ad_hoc:
        raise AssayError(
            f"{' and '.join(asked)} make the result depend on timing, which the pipeline does not allow: "
            "search by hand (python -m src.sweep sweep.trials=40 …), and take over what it finds with --adopt"
        )


def _search(
    config: Config,
    run: StageRun,
    candidates: TrialConfigs,
    plan: SearchPlan,
    train: Callable[[TrialTask], TrialResult] | None,
) -> list[Trial]:
    from src.core.cpus import resolve_n_jobs
    from src.search.distributed.worker import run_shared_search
    from src.search.engine.executor import PoolRunner
    from src.search.engine.study import run_search, search_asynchronously
    from src.search.engine.trial_log import SearchProgress
    from src.search.engine.trial_tasks import TrialRecorder, TrialTasks, read_sample
    from src.search.engine.worker_pool import WorkerPool
    from src.search.report.live_view import live_view

    n_jobs = resolve_n_jobs(config.sweep.n_jobs, config.sweep.threads)
    tasks = TrialTasks(candidates, *read_sample(config), run.state, run.root, run.attempt.record)
    diary = TrialRecorder(tasks, run.tracker)
    with live_view(plan, run.progress, run.say) as show:

        def on_news(standing: SearchProgress) -> None:
            show(standing)
            diary(standing)

        if config.sweep.storage != "embedded":
            named = replace(plan, name=study_name(config))
            return run_shared_search(run, named, config.sweep.storage, tasks, n_jobs, on_news)
        with WorkerPool(n_jobs, config.sweep.retries) as pool:
            executor = PoolRunner(pool, tasks, forgiving=run.job.loaded.is_ad_hoc, run=train)
            if config.sweep.asynchronous:
                return search_asynchronously(plan, executor, n_jobs, run.state / "asynchronous", on_news)
            return run_search(plan, executor, run.state / "trials", on_news)


def _tell(config: Config, run: StageRun, plan: SearchPlan, trials: list[Trial], found: SearchReport) -> None:
    """Journal and MLflow, the tables at the terminal, and the experiment of one's own."""
    from rich.console import Console

    from src.search.engine.trial_tasks import trial_lineage
    from src.search.report.tables import best_table, importance_table

    states = [trial.outcome.state for trial in trials]
    counts = {f"trials/{state}": states.count(state) for state in ("complete", "pruned", "failed")}
    figures = {f"best/{name}": value for name, value in found.best.outcome.metrics.items()}
    epochs = sum(trial.outcome.epochs for trial in trials if trial.reused is None)
    run.log(metrics={**counts, **figures, "epochs": epochs}, figures=found.pictures)
    lineage = trial_lineage(run.lineage.id, found.best.number)
    run.attempt.update(tags={"best.lineage": lineage, "best.trial": str(found.best.number)})
    console = Console(width=100)
    console.print(best_table(trials, plan))
    if found.importance:
        console.print(importance_table(found.importance))
    place = run.job.place
    run.say(f"trial {found.best.number} of {len(trials)} is the best; {epochs} epochs; figures in {place}/")
    if run.job.options["adopt"]:
        _adopt(config, run, found.best)


def _adopt(config: Config, run: StageRun, best: Trial) -> None:
    from src.search.report.experiment_file import write_experiment

    name = study_name(config)
    path = write_experiment(name, run.job.loaded.overrides, best.settings)
    run.say(f"wrote {path}. Use it: python -m src.compose experiment={name}, then dvc repro")


def study_name(config: Config) -> str:
    """How people call the search."""
    return config.sweep.study or f"{config.model.kind}-{config.sweep.method}"


def add_options(parser: ArgumentParser) -> None:
    """The options of this stage only."""
    parser.add_argument("--adopt", action="store_true", help="write conf/experiment/STUDY.yaml")
    parser.add_argument("--worker", metavar="STUDY", help="join a study of sweep.storage")


def main() -> None:
    """Search, or work on a search that was begun elsewhere."""
    arguments = parse_arguments("sweep", __doc__, add_options)
    if arguments.worker is None:
        run_stage("sweep", build, __doc__, add_options)
    from src.core.errors import AssayError
    from src.search.distributed.worker import join

    try:
        join(arguments.worker, arguments)
    except AssayError as error:
        sys.exit(f"\nsweep failed: {error}")


if __name__ == "__main__":
    main()
