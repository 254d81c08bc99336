"""Writes a report as a folder of tables and figures."""

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from src.config.schema.evaluate import Evaluate
from src.core.files import write_json
from src.core.metric_names import WEIGHTS
from src.data.dataset.arrays import open_array
from src.data.dataset.spec import DataSpec
from src.evaluation.metrics import classification
from src.evaluation.metrics.calibration import reliability
from src.evaluation.metrics.curves import macro_pr, macro_roc, pr_curves, roc_curves
from src.evaluation.report import tables
from src.evaluation.report.confusion import draw_confusion
from src.evaluation.report.curves import draw_pr, draw_roc
from src.evaluation.report.gallery import draw_mistakes
from src.evaluation.report.history import draw_history
from src.evaluation.report.misclassified import describe_mistakes, find_mistakes
from src.evaluation.report.reliability import draw_reliability
from src.evaluation.report.report import Report
from src.plotting.style import legible

History = dict[str, list[float]]


def publish_report(
    folder: Path,
    report: Report,
    ids: NDArray[np.int64],
    images: Path,
    history: Path,
    settings: Evaluate,
    data: DataSpec,
) -> list[Path]:
    """Write tables and figures into ``folder``; returns the figures.

    Args:
        folder: receives them.
        report: has n rows.
        ids: (n,) rows of the image array.
        images: file of the image array, (N, C, H, W).
        history: file of the learning curves.
        settings: section ``evaluate``.
        data: what was predicted.
    """
    write_tables(folder, report, ids, settings, data)
    return draw_figures(folder, report, ids, open_array(images), read_history(history), settings)


def write_tables(
    folder: Path, report: Report, ids: NDArray[np.int64], settings: Evaluate, data: DataSpec
) -> None:
    """Write the JSON, parquet and CSV files. ``ids``: (n,) images of the report's rows."""
    write_json(folder / "metrics.json", report.to_json())
    write_json(folder / "summary.json", report.summary())
    table = reliability(report.probabilities, report.targets, settings.calibration_bins)
    tables.write_predictions(folder / "predictions.parquet", report, ids, data)
    tables.write_confusion(folder / "confusion.csv", report)
    tables.write_per_class(folder / "per_class.csv", report)
    tables.write_calibration(folder / "calibration.csv", table)
    roc = roc_curves(report.probabilities, report.targets, report.classes)
    tables.write_curves(folder / "roc.csv", "fpr", "tpr", roc)
    precision = pr_curves(report.probabilities, report.targets, report.classes)
    tables.write_curves(folder / "pr.csv", "recall", "precision", precision)


def draw_figures(
    folder: Path,
    report: Report,
    ids: NDArray[np.int64],
    images: NDArray[np.uint8],
    history: History,
    settings: Evaluate,
) -> list[Path]:
    """Write the PNG files and return their paths.

    Args:
        folder: receives them.
        report: has n rows.
        ids: (n,) rows of ``images``.
        images: (N, C, H, W).
        history: of the training, see :func:`read_history`.
        settings: section ``evaluate``.
    """
    names = legible(report.classes)
    matrix = classification.confusion(report.targets, report.predicted, len(names))
    table = reliability(report.probabilities, report.targets, settings.calibration_bins)
    wrong = find_mistakes(report)
    worst = wrong[: settings.mistakes]
    mistakes = describe_mistakes(report, names, worst, images[ids[worst]])
    roc = roc_curves(report.probabilities, report.targets, names)
    precision = pr_curves(report.probabilities, report.targets, names)
    missing = [name for name, images in zip(names, report.counts.actual, strict=True) if not images]
    return [
        draw_confusion(folder / "confusion.png", matrix, names),
        draw_roc(folder / "roc.png", roc, macro_roc(roc) if len(roc) > 1 else None, missing),
        draw_pr(folder / "pr.png", precision, macro_pr(precision) if len(precision) > 1 else None, missing),
        draw_reliability(folder / "reliability.png", table, report.metrics["calibration_error"]),
        draw_mistakes(folder / "mistakes.png", mistakes, len(wrong), len(report.targets)),
        draw_history(folder / "curves.png", history),
    ]


def read_history(path: Path) -> History:
    """Read the numbers of a training's history.csv; a blank is NaN."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name != WEIGHTS] if rows else []
    return {name: [float(row[name] or "nan") for row in rows] for name in names}
