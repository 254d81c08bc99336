"""Search for better settings of the training with Optuna, on the validation split or on folds.

    dvc repro sweep                                          as a part of the pipeline, with params.yaml
    python -m src.sweep sweep=grid model=lenet               an ad-hoc search, into outputs/sweep/
    python -m src.sweep sweep.trials=40 --adopt              also write conf/experiment/STUDY.yaml
    python -m src.sweep --worker STUDY sweep.storage=URL     join a study that several machines share

Writes sweep/: best.yaml (field: value; train and cross_validate use it), trials.csv, importance.csv and
figures; and a copy in optuna.log, which `make dashboard` shows. The default search on the digits, 12 short
trainings, takes half a minute on 2 cores. A search that was killed keeps its finished trials and continues
the interrupted ones from their last epoch.
"""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from src.core.errors import ends_with_message
from src.core.wording import counted
from src.pipeline.execution import StageRun, run_stage
from src.pipeline.job import parse_arguments, prepare, repository_root
from src.pipeline.numerics import hold
from src.pipeline.paths import INGEST, SPLIT
from src.provenance.work_dir import WorkDir
from src.tracking.live import Tracker

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from src.config.schema import Config
    from src.search.driver import TrainTrial


def build(config: Config, run: StageRun, train: TrainTrial | None = None) -> None:
    """Search, and write what was found into ``run.folder``; ``train`` is what a worker does with a trial."""
    from src.search.driver import Search
    from src.search.report.publish import write_empty_report, write_report

    if config.sweep.method == "none":
        write_empty_report(run.folder)
        run.say("sweep=none: the settings of params.yaml stay as they are")
        return
    search = Search.prepare(run.job.loaded, INGEST, SPLIT, run.state, run.root, run.attempt.record)
    run.say(f"{search.name}: {counted(search.plan.total, 'trial')}")
    trials = search.run(run.say, run.tracker.show_child, run.progress, train)
    report = write_report(run.folder, search.plan, trials)
    best = report.best
    run.log(metrics=report.metrics, figures=report.figures)
    run.attempt.update(tags={"best.lineage": search.lineage_of(best.number), "best.trial": str(best.number)})
    report.print_tables()
    run.say(f"{report.sentence()}; figures in {run.job.place}/")
    if run.job.options["adopt"]:
        path = search.adopt(best)
        run.say(f"wrote {path}. Use it: python -m src.compose experiment={search.name}, then dvc repro")


def join(name: str, overrides: list[str]) -> None:
    """Work on a study that was created elsewhere, until it ends.

    Raises:
        AssayError: The study does not exist, or code, data or parameters here are not those of the study.
    """
    from src.search.driver import Search, StudyElsewhere

    study = StudyElsewhere.find(name, overrides)
    job, root = prepare(Namespace(overrides=study.overrides), "sweep"), repository_root()
    hold(job, late=True)  # its workers; the search itself has loaded its libraries to find the study
    state, tracker = WorkDir(root, job.address, job.lineage.id).path, Tracker(root, job.lineage.id)
    search = Search.prepare(job.loaded, INGEST, SPLIT, state, root, job.record())
    trials = search.join(study, job.say, tracker.show_child)
    tracker.finish()
    job.say(
        f"study {name} has ended with {counted(len(trials), 'trial')}; its result is where it was created"
    )


def add_options(parser: ArgumentParser) -> None:
    """The options of this stage only."""
    parser.add_argument("--adopt", action="store_true", help="write conf/experiment/STUDY.yaml")
    parser.add_argument("--worker", metavar="STUDY", help="join a study of sweep.storage")


def main() -> None:
    """Search, or work on a search that was started elsewhere."""
    arguments = parse_arguments("sweep", __doc__, add_options)
    if arguments.worker is None:
        run_stage("sweep", build, __doc__, add_options)
    with ends_with_message("sweep"):
        join(arguments.worker, arguments.overrides)


if __name__ == "__main__":
    main()
