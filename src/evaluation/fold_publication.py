"""A cross-validation as a folder of tables and figures."""

from pathlib import Path

from src.evaluation import figures, metrics, tables
from src.evaluation.cross_validation import CrossValidation
from src.style import legible


def publish_folds(folder: Path, result: CrossValidation) -> list[Path]:
    """Write all files into ``folder``; returns the figures."""
    (folder / "metrics.json").write_text(result.to_json(), encoding="utf-8")
    tables.write_folds(folder / "folds.csv", result)
    tables.write_fold_predictions(folder / "predictions.parquet", result.folds)
    tables.write_confusion(folder / "confusion.csv", result.pooled)
    pooled, names = result.pooled, legible(result.pooled.classes)
    matrix = metrics.confusion(pooled.targets, pooled.predicted, len(names))
    limits = {name: spread.corrected for name, spread in result.spreads.items()}
    return [
        figures.draw_confusion(folder / "confusion.png", matrix, names),
        figures.draw_folds(folder / "folds.png", result.figures, limits),
    ]
