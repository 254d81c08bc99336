"""The tables of an evaluation: the same figures always give the same bytes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from src.csv_table import write_csv
from src.evaluation import metrics
from src.evaluation.calibration import Reliability
from src.evaluation.cross_validation import CrossValidation, Fold
from src.evaluation.curves import Curve
from src.evaluation.metrics import Integers
from src.evaluation.report import Report


def write_predictions(path: Path, report: Report, ids: Integers) -> None:
    """id, target, predicted and one probability a class (p_0 …), one line for each test row (n,)."""
    columns = {
        "id": pa.array(ids, pa.int64()),
        "target": pa.array(report.targets, pa.int64()),
        "predicted": pa.array(report.predicted, pa.int64()),
    }
    for index, column in enumerate(report.probabilities.T):
        columns[f"p_{index}"] = pa.array(np.ascontiguousarray(column), pa.float64())
    parquet.write_table(pa.table(columns), path, compression="zstd")


def write_confusion(path: Path, report: Report) -> None:
    """The class that a test row has and the one it was given, which is what DVC's template counts."""
    names = np.array(report.classes, dtype=np.object_)
    pairs = zip(names[report.targets], names[report.predicted], strict=True)
    write_csv(path, ["actual", "predicted"], pairs)


def write_curves(path: Path, x: str, y: str, curves: Sequence[Curve]) -> None:
    """All points of all curves; ``x`` and ``y`` name the columns."""
    points = ((c.name, *point) for c in curves for point in zip(c.x.tolist(), c.y.tolist(), strict=True))
    write_csv(path, ["class", x, y], points)


def write_calibration(path: Path, table: Reliability) -> None:
    """One line a bin; confidence and accuracy of an empty bin are left blank."""
    columns = (table.low, table.high, table.images, table.confidence, table.accuracy)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    write_csv(path, ["low", "high", "images", "confidence", "accuracy"], rows)


def write_per_class(path: Path, report: Report) -> None:
    """One line a class; what is undefined is left blank, and ``note`` says why."""
    single = {**metrics.per_class(report.counts), **report.areas}
    columns = [column.tolist() for column in single.values()]
    actual = report.counts.actual.astype(np.int64).tolist()
    predicted = report.counts.predicted.astype(np.int64).tolist()
    notes = [_note(a, p, len(report.targets)) for a, p in zip(actual, predicted, strict=True)]
    rows = zip(report.classes, actual, predicted, *columns, notes, strict=True)
    write_csv(path, ["class", "images", "predicted", *single, "note"], rows)


def write_folds(path: Path, result: CrossValidation) -> None:
    """One line a fold: its images, its training, its figures, and what else is told of it."""
    training = ["train_images", "val_images", "epoch", "epochs"]
    about = list(result.folds[0].about)
    header = ["repeat", "fold", "images", *training, *result.figures, *about]
    rows = (
        [fold.repeat, fold.fold, len(fold.ids)]
        + [getattr(fold, name) for name in training]
        + [float(values[place]) for values in result.figures.values()]
        + [fold.about[name] for name in about]
        for place, fold in enumerate(result.folds)
    )
    write_csv(path, header, rows)


def write_fold_predictions(path: Path, folds: Sequence[Fold]) -> None:
    """repeat, fold, id, target, predicted and one probability a class, one line for each held-out image."""
    sizes = [len(fold.ids) for fold in folds]
    probabilities = np.concatenate([fold.probabilities for fold in folds])
    columns = {
        "repeat": np.repeat([fold.repeat for fold in folds], sizes),
        "fold": np.repeat([fold.fold for fold in folds], sizes),
        "id": np.concatenate([fold.ids for fold in folds]),
        "target": np.concatenate([fold.targets for fold in folds]),
        "predicted": metrics.predict(probabilities),
    }
    table = {name: pa.array(values, pa.int64()) for name, values in columns.items()}
    for index, column in enumerate(probabilities.T):
        table[f"p_{index}"] = pa.array(np.ascontiguousarray(column), pa.float64())
    parquet.write_table(pa.table(table), path, compression="zstd")


def _note(actual: int, predicted: int, total: int) -> str:
    if not actual:
        return "no test images"
    if actual == total:
        return "all test images are of this class"
    return "" if predicted else "never predicted"
