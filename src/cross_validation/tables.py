"""Tables of a cross-validation."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from src.core.csv_files import write_csv
from src.cross_validation.report import SCOPE, CrossValidationReport, FoldPredictions
from src.data.dataset.spec import DataSpec, with_spec
from src.evaluation.metrics import classification


def write_folds(path: Path, report: CrossValidationReport) -> None:
    """One line per fold: its images, its training, its metrics, and what else is known of it."""
    training = ["train_images", "val_images", "epoch", "epochs"]
    about = list(report.folds[0].about)
    metrics = [f"{SCOPE}/{name}" for name in report.metrics]
    header = ["repeat", "fold", "images", *training, *metrics, *about]
    rows = (
        [fold.repeat, fold.fold, len(fold.ids)]
        + [getattr(fold, name) for name in training]
        + [float(values[index]) for values in report.metrics.values()]
        + [fold.about[name] for name in about]
        for index, fold in enumerate(report.folds)
    )
    write_csv(path, header, rows)


def write_fold_predictions(path: Path, folds: Sequence[FoldPredictions], data: DataSpec) -> None:
    """Columns repeat, fold, id, target, predicted and p_0 …, the probabilities; one line per image."""
    sizes = [len(fold.ids) for fold in folds]
    probabilities = np.concatenate([fold.probabilities for fold in folds])
    columns = {
        "repeat": np.repeat([fold.repeat for fold in folds], sizes),
        "fold": np.repeat([fold.fold for fold in folds], sizes),
        "id": np.concatenate([fold.ids for fold in folds]),
        "target": np.concatenate([fold.targets for fold in folds]),
        "predicted": classification.predict(probabilities),
    }
    table = {name: pa.array(values, pa.int64()) for name, values in columns.items()}
    for index, column in enumerate(probabilities.T):
        table[f"p_{index}"] = pa.array(np.ascontiguousarray(column), pa.float64())
    parquet.write_table(with_spec(pa.table(table), data), path, compression="zstd")
