"""The tables of an evaluation: equal values give equal bytes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from src.core.csv_files import write_csv
from src.data.dataset.spec import DataSpec, with_spec
from src.evaluation.metrics import classification
from src.evaluation.metrics.calibration import Reliability
from src.evaluation.metrics.classification import Integers
from src.evaluation.metrics.curves import Curve
from src.evaluation.report.misclassified import find_mistakes
from src.evaluation.report.report import Report


def write_predictions(path: Path, report: Report, ids: Integers, data: DataSpec) -> None:
    """Columns id, target, predicted and p_0 …, the probabilities; one line for each of ``ids`` (n,)."""
    columns = {
        "id": pa.array(ids, pa.int64()),
        "target": pa.array(report.targets, pa.int64()),
        "predicted": pa.array(report.predicted, pa.int64()),
    }
    for index, column in enumerate(report.probabilities.T):
        columns[f"p_{index}"] = pa.array(np.ascontiguousarray(column), pa.float64())
    parquet.write_table(with_spec(pa.table(columns), data), path, compression="zstd")


def write_mistakes(path: Path, report: Report, sources: Sequence[str]) -> None:
    """One line per wrong prediction, the most confident first.

    ``sources`` are the paths of the report's n images below the folder of the raw data.
    """
    names, columns = report.classes, ["path", "actual", "predicted", "confidence"]
    rows = (
        (sources[row], names[report.targets[row]], names[answer], float(report.probabilities[row, answer]))
        for row in find_mistakes(report).tolist()
        for answer in (int(report.predicted[row]),)
    )
    write_csv(path, columns, rows)


def write_confusion(path: Path, report: Report) -> None:
    """The actual and the predicted class of each test image, which DVC's template counts."""
    names = np.array(report.classes, dtype=np.object_)
    pairs = zip(names[report.targets], names[report.predicted], strict=True)
    write_csv(path, ["actual", "predicted"], pairs)


def write_curves(path: Path, x: str, y: str, curves: Sequence[Curve]) -> None:
    """One line per point of each curve; ``x`` and ``y`` name the columns."""
    points = ((c.name, *point) for c in curves for point in zip(c.x.tolist(), c.y.tolist(), strict=True))
    write_csv(path, ["class", x, y], points)


def write_calibration(path: Path, table: Reliability) -> None:
    """One line per bin; confidence and accuracy of an empty bin are blank."""
    columns = (table.low, table.high, table.images, table.confidence, table.accuracy)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    write_csv(path, ["low", "high", "images", "confidence", "accuracy"], rows)


def write_per_class(path: Path, report: Report) -> None:
    """One line per class; undefined values are blank, and ``note`` says why."""
    single = {**classification.per_class(report.counts), **report.areas}
    columns = [column.tolist() for column in single.values()]
    actual = report.counts.actual.astype(np.int64).tolist()
    predicted = report.counts.predicted.astype(np.int64).tolist()
    notes = [_undefined_reason(a, p, len(report.targets)) for a, p in zip(actual, predicted, strict=True)]
    rows = zip(report.classes, actual, predicted, *columns, notes, strict=True)
    write_csv(path, ["class", "images", "predicted", *single, "note"], rows)


def _undefined_reason(actual: int, predicted: int, total: int) -> str:
    if not actual:
        return "no test images"
    if actual == total:
        return "all test images are of this class"
    return "" if predicted else "never predicted"
