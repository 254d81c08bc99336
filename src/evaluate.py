"""Evaluate the base model on the test images: metrics with intervals, tables and figures.

    dvc repro evaluate                                     with params.yaml, as a stage of the pipeline
    python -m src.evaluate evaluate.bootstrap=10000        an ad-hoc run, into outputs/evaluate/

Reads models/base and the test rows of data/split. Writes reports/evaluate: metrics.json (each metric with
its bootstrap interval), summary.json (the few that DVC shows), predictions.parquet, mistakes.csv (path, true
and predicted class of each wrong prediction), confusion.csv, roc.csv, pr.csv, calibration.csv, per_class.csv
and the figures confusion, roc, pr, reliability, mistakes and curves (PNG). With evaluate.corruptions also
robustness.csv, robustness.png and corrupted.parquet (the answers), with evaluate.subgroups subgroups.csv and
subgroups.png, with evaluate.decision decision.json, and with abstention coverage.csv and coverage.png. Takes
about ten seconds for the digits, mostly imports; the default model classifies 98 to 99 of 100 digits
correctly.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from src.core.progress import progress_bar
from src.pipeline.execution import StageRun, run_stage
from src.pipeline.paths import BASE, INGEST, SPLIT

if TYPE_CHECKING:
    from src.config.schema import Config
    from src.evaluation.predictions import Predictions


def build(config: Config, run: StageRun) -> None:
    """Write the tables and figures into ``run.folder``."""
    from src.evaluation.predictions import predict_images
    from src.evaluation.report.publish import publish_report
    from src.evaluation.report.report import make_report, with_uncalibrated
    from src.evaluation.report.tables import write_mistakes
    from src.evaluation.robustness.subgroups import read_subgroup_columns
    from src.models.numerics import computing

    settings, show = config.evaluate, run.progress
    columns = read_subgroup_columns(INGEST, settings.subgroups)
    predict = partial(
        predict_images,
        model=BASE,
        ingest=INGEST,
        split=SPLIT,
        batch_size=settings.batch_size,
        device=config.machine.device,
        show=show,
    )
    with computing(config.train):
        fitting = None if settings.decision.method == "argmax" else predict(_fitting_split(config))
        tested = predict("test")
        with progress_bar("Resampling", total=settings.bootstrap, show=show) as advance:
            report = make_report(
                tested.probabilities, tested.targets, tested.classes, settings, config.seed, advance
            )
        if tested.uncalibrated is not None:
            report = with_uncalibrated(report, tested.uncalibrated, settings.calibration_bins)
        run.say(report.sentence())
        further = [_corrupt(config, run, tested)] if settings.corruptions else []
    further += [_compare_subgroups(config, run, tested, columns)] if columns else []
    for metrics, _ in further:
        report = replace(report, further=report.further | metrics)
    figures = publish_report(
        run.folder, report, tested.ids, INGEST / "images.npy", BASE / "history.csv", settings, tested.data
    )
    figures += [figure for _, figure in further]
    write_mistakes(run.folder / "mistakes.csv", report, tested.sources)
    if fitting is not None:
        figures += _decide(config, run, fitting, tested)
    run.log(subject="train", metrics=report.to_metrics(), figures=figures)


def _corrupt(config: Config, run: StageRun, tested: Predictions) -> tuple[dict[str, float], Path]:
    """Ask the model about corrupted test images, and report what they cost; returns metrics and figure."""
    from src.evaluation.report.robustness import publish_robustness
    from src.evaluation.robustness.answers import predict_corrupted

    settings, images = config.evaluate, INGEST / "images.npy"
    answers = predict_corrupted(
        settings.corruptions,
        tested.ids,
        BASE,
        images,
        batch_size=settings.batch_size,
        device=config.machine.device,
        seed=config.seed,
        show=run.progress,
    )
    found, figure = publish_robustness(run.folder, answers, tested, images, settings, config.seed)
    run.say(found.sentence())
    return found.means, figure


def _compare_subgroups(
    config: Config, run: StageRun, tested: Predictions, columns: dict[str, list[str]]
) -> tuple[dict[str, float], Path]:
    """Report how often the model is right in each subgroup; returns metrics and figure."""
    from src.evaluation.report.subgroups import publish_subgroups
    from src.evaluation.robustness.subgroups import describe_gap, subgroup_metrics

    found, figure = publish_subgroups(run.folder, tested, columns, config.evaluate, config.seed)
    run.say(describe_gap(found))
    return subgroup_metrics(found), figure


def _fitting_split(config: Config) -> str:
    """The split that the decision rule is fitted to.

    Raises:
        AssayError: its images do not allow such a rule.
    """
    from src.data.dataset.index import read_calibration, read_index
    from src.evaluation.fitted.decision import refuse_impossible

    rows = read_calibration(INGEST, SPLIT)
    refuse_impossible(config.evaluate.decision, read_index(INGEST).classes, rows.targets)
    return rows.split


def _decide(config: Config, run: StageRun, fitting: Predictions, tested: Predictions) -> list[Path]:
    """Fit the decision rule, and report what it does; returns the figures."""
    from src.evaluation.fitted.decision import fit_rule
    from src.evaluation.report.decision import publish_decision

    settings = config.evaluate
    rule = fit_rule(settings.decision, fitting.probabilities, fitting.targets, fitting.classes, fitting.split)
    assert rule is not None  # only argmax needs none
    figures, sentence = publish_decision(run.folder, rule, fitting, tested, settings.confidence)
    run.say(sentence)
    return figures


if __name__ == "__main__":
    run_stage("evaluate", build, __doc__)
