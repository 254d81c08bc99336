"""Evaluate the base model on the test images: metrics with intervals, tables and figures.

    dvc repro evaluate                                     with params.yaml, as a stage of the pipeline
    python -m src.evaluate evaluate.bootstrap=10000        an ad-hoc run, into outputs/evaluate/

Reads models/base and the test rows of data/split. Writes reports/evaluate: metrics.json (each metric with
its bootstrap interval), summary.json (the few that DVC shows), predictions.parquet, mistakes.csv (path, true
and predicted class of each wrong prediction), confusion.csv, roc.csv, pr.csv, calibration.csv, per_class.csv
and the figures confusion, roc, pr, reliability, mistakes and curves (PNG). Takes about ten seconds for the
digits, mostly imports; the default model classifies 98 to 99 of 100 digits correctly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from src.core.progress import progress_bar
from src.pipeline.execution import StageRun, run_stage
from src.pipeline.paths import BASE, INGEST, SPLIT

if TYPE_CHECKING:
    from src.config.schema import Config


def build(config: Config, run: StageRun) -> None:
    """Write the tables and figures into ``run.folder``."""
    from src.evaluation.predictions import predict_test_images
    from src.evaluation.report.publish import publish_report
    from src.evaluation.report.report import make_report, with_uncalibrated
    from src.evaluation.report.tables import write_mistakes
    from src.models.numerics import computing

    settings, show = config.evaluate, run.progress
    with computing(config.train):
        tested = predict_test_images(
            BASE, INGEST, SPLIT, batch_size=settings.batch_size, device=config.machine.device, show=show
        )
        with progress_bar("Resampling", total=settings.bootstrap, show=show) as advance:
            report = make_report(
                tested.probabilities, tested.targets, tested.classes, settings, config.seed, advance
            )
    if tested.uncalibrated is not None:
        report = with_uncalibrated(report, tested.uncalibrated, settings.calibration_bins)
    figures = publish_report(
        run.folder, report, tested.ids, INGEST / "images.npy", BASE / "history.csv", settings, tested.data
    )
    write_mistakes(run.folder / "mistakes.csv", report, tested.sources)
    run.log(subject="train", metrics=report.to_metrics(), figures=figures)
    run.say(report.sentence())


if __name__ == "__main__":
    run_stage("evaluate", build, __doc__)
