"""Say all there is to say about the base model on the test images.

    dvc repro evaluate                                     with params.yaml, as a part of the pipeline
    python -m src.evaluate evaluate.bootstrap=10000        by hand, into outputs/evaluate/

Reads models/base and the test rows of data/split; writes reports/evaluate: metrics.json (each figure with
its bootstrap interval), predictions.parquet, confusion.csv, roc.csv, pr.csv, calibration.csv, per_class.csv
and the figures confusion, roc, pr, reliability, mistakes and curves (PNG). Takes about ten seconds for the
digits, most of them imports; the default model is right on 98 to 99 of 100 digits.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from src.execution import Execution, execute

if TYPE_CHECKING:
    from src.evaluation.metrics import Floats, Integers
    from src.evaluation.report import Report
    from src.models.store import ModelSpec
    from src.schema import Config

BASE = Path("models/base")
IMAGES = Path("data/ingest/images.npy")


def build(config: Config, run: Execution) -> None:
    """Write the tables and figures into ``run.folder``."""
    from src.evaluation.report import make_report
    from src.models.store import load_model
    from src.progress import progress
    from src.training.device import deterministic, resolve_threads

    network, spec = load_model(BASE)
    rows, targets = _test_rows(spec)
    with deterministic(resolve_threads(config.train.threads)):
        probabilities = _predict(config, run, network, spec, rows)
        settings = config.evaluate
        with progress("Resampling", total=settings.bootstrap, show=run.progress) as advance:
            report = make_report(probabilities, targets, spec.classes, settings, config.seed, advance)
    figures = _write(config, run.folder, report, rows)
    run.note(subject="train", metrics=report.flat(), figures=figures)
    run.say(report.sentence())
