"""Evaluate the base model on the test images: metrics with intervals, tables and figures.

    dvc repro evaluate                                     with params.yaml, as a stage of the pipeline
    python -m src.evaluate evaluate.bootstrap=10000        an ad-hoc run, into outputs/evaluate/

Reads models/base and the test rows of data/split. Writes reports/evaluate: metrics.json (each metric with
its bootstrap interval), summary.json (the few that DVC shows), predictions.parquet, mistakes.csv (path, true
and predicted class of each wrong prediction), confusion.csv, roc.csv, pr.csv, calibration.csv, per_class.csv
and the figures confusion, roc, pr, reliability, mistakes and curves (PNG). With evaluate.corruptions also
robustness.csv, robustness.png and corrupted.parquet (the answers), with evaluate.subgroups subgroups.csv and
subgroups.png, with evaluate.decision decision.json, and with abstention coverage.csv and coverage.png. Takes
about ten seconds for the digits, mostly imports; the default model classifies 99 of 100 digits correctly.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from src.core.progress import progress_bar
from src.pipeline.execution import StageRun, run_stage
from src.pipeline.paths import BASE, INGEST, SPLIT

if TYPE_CHECKING:
    from pathlib import Path

    from src.config.schema import Config
    from src.evaluation.predictions import Predictions
    from src.evaluation.report.report import Report
    from src.evaluation.report.sections import Section


def build(config: Config, run: StageRun) -> None:
    """Write the tables and figures into ``run.folder``."""
    from src.evaluation.report.publish import publish_report
    from src.evaluation.report.tables import write_mistakes
    from src.models.numerics import computing

    images = INGEST / "images.npy"
    with computing(config.train):
        report, tested, sections = _measure(config, run, images)
    for section in sections:
        report = replace(report, further=report.further | section.metrics)
    figures = publish_report(
        run.folder, report, tested.ids, images, BASE / "history.csv", config.evaluate, tested.data
    )
    write_mistakes(run.folder / "mistakes.csv", report, tested.sources)
    for sentence in (report.sentence(), *(section.sentence for section in sections)):
        run.say(sentence)
    figures += [figure for section in sections for figure in section.figures]
    run.log(subject="train", metrics=report.to_metrics(), figures=figures)


def _measure(config: Config, run: StageRun, images: Path) -> tuple[Report, Predictions, list[Section]]:
    """The report, what it rests on, and the sections that the configuration asks for."""
    from src.evaluation.predictions import predict_images
    from src.evaluation.report.report import make_report
    from src.evaluation.report.sections import (
        fitting_split,
        report_corruptions,
        report_decision,
        report_subgroups,
    )
    from src.evaluation.robustness.subgroups import read_subgroup_columns

    settings, seed, device, show = config.evaluate, config.seed, config.machine.device, run.progress
    predict = partial(
        predict_images,
        model=BASE,
        ingest=INGEST,
        split=SPLIT,
        batch_size=settings.batch_size,
        device=device,
        show=show,
    )
    columns = read_subgroup_columns(INGEST, settings.subgroups)  # before anything is computed
    decides = settings.decision.method != "argmax"
    fitting = predict(fitting_split(settings, INGEST, SPLIT)) if decides else None
    tested = predict("test")
    with progress_bar("Resampling", total=settings.bootstrap, show=show) as advance:
        report = make_report(tested, settings, seed, advance)
    sections = []
    if settings.corruptions:
        sections.append(report_corruptions(run.folder, tested, settings, seed, BASE, images, device, show))
    if columns:
        sections.append(report_subgroups(run.folder, tested, columns, settings, seed))
    if fitting is not None:
        sections.append(report_decision(run.folder, fitting, tested, settings))
    return report, tested, sections


if __name__ == "__main__":
    run_stage("evaluate", build, __doc__)
