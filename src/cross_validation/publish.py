"""A cross-validation as a folder of tables and figures."""

from pathlib import Path

from src.cross_validation.figures import draw_folds
from src.cross_validation.report import CrossValidationReport
from src.cross_validation.tables import write_fold_predictions, write_folds
from src.evaluation.metrics import classification
from src.evaluation.report.confusion import draw_confusion
from src.evaluation.report.tables import write_confusion
from src.plotting.style import legible


def publish_folds(folder: Path, result: CrossValidationReport) -> list[Path]:
    """Write all files into ``folder``; returns the figures."""
    (folder / "metrics.json").write_text(result.to_json(), encoding="utf-8")
    write_folds(folder / "folds.csv", result)
    write_fold_predictions(folder / "predictions.parquet", result.folds)
    write_confusion(folder / "confusion.csv", result.pooled)
    pooled, names = result.pooled, legible(result.pooled.classes)
    matrix = classification.confusion(pooled.targets, pooled.predicted, len(names))
    limits = {name: spread.corrected for name, spread in result.spreads.items()}
    return [
        draw_confusion(folder / "confusion.png", matrix, names),
        draw_folds(folder / "folds.png", result.metrics, limits),
    ]
