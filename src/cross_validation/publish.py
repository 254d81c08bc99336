"""Turns finished folds into a report, and the report into a folder of tables and figures."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from src.config.schema.evaluate import Evaluate
from src.config.schema.train import Train
from src.core.files import write_json
from src.cross_validation.figures import draw_folds
from src.cross_validation.fold import FoldResult, read_folds
from src.cross_validation.report import CrossValidationReport, FoldPredictions, cross_validation
from src.cross_validation.tables import write_fold_predictions, write_folds
from src.data.dataset.index import read_index
from src.data.dataset.spec import DataSpec
from src.evaluation.metrics import classification
from src.evaluation.report.confusion import draw_confusion
from src.evaluation.report.tables import write_confusion
from src.models.numerics import computing
from src.plotting.style import legible


def read_report(
    outcomes: Sequence[Path], ingest: Path, selection: str, settings: Evaluate, train: Train
) -> tuple[CrossValidationReport, dict[str, Any]]:
    """Compute the report of finished folds; returns it and the numerics that all folds share.

    Args:
        outcomes: the folds' files.
        ingest: folder of the images' manifest.
        selection: none, non-nested or nested: how the settings were chosen.
        settings: section ``evaluate``.
        train: how to compute: its precision and threads.

    Raises:
        AssayError: a file is damaged, or the folds were computed with different numerics.
    """
    results = read_folds(outcomes)
    folds = [_predictions(result, selection == "nested") for result in results]
    with computing(train):
        report = cross_validation(folds, read_index(ingest).classes, selection, settings)
    return report, results[0].numerics


def publish_folds(folder: Path, report: CrossValidationReport, data: DataSpec) -> list[Path]:
    """Write all files into ``folder``; returns the figures. ``data`` says what was predicted."""
    write_json(folder / "metrics.json", report.to_json())
    write_folds(folder / "folds.csv", report)
    write_fold_predictions(folder / "predictions.parquet", report.folds, data)
    write_confusion(folder / "confusion.csv", report.pooled)
    pooled, names = report.pooled, legible(report.pooled.classes)
    matrix = classification.confusion(pooled.targets, pooled.predicted, len(names))
    limits = {name: spread.corrected for name, spread in report.spreads.items()}
    return [
        draw_confusion(folder / "confusion.png", matrix, names),
        draw_folds(folder / "folds.png", report.metrics, limits),
    ]


def _predictions(result: FoldResult, with_settings: bool) -> FoldPredictions:
    about = {"weights": result.weights}
    if with_settings:
        about["settings"] = json.dumps(result.settings)
    return FoldPredictions(
        repeat=result.repeat,
        fold=result.fold,
        ids=result.ids,
        targets=result.targets,
        probabilities=classification.softmax(result.logits),
        train_images=result.train_images,
        val_images=result.val_images,
        epoch=result.epoch,
        epochs=result.epochs,
        about=about,
    )
