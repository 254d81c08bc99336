"""One fold of a cross-validation: a training that is tested, once, on images that it has not seen.

The fold's own images neither train, nor normalize, nor choose the epoch: a part of the training images is
set aside for that. The result is one parquet file, written whole or not at all.
"""

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from filelock import FileLock
from numpy.typing import NDArray
from pyarrow import parquet
from torch import nn

from src.core.errors import AssayError
from src.core.files import replaced
from src.core.hashing import file_hash
from src.core.processes import process_identity
from src.cross_validation.fold_task import FoldTask
from src.evaluation.fitted.temperature import fit_temperature
from src.models.inference import predict_logits
from src.models.numerics import computing
from src.models.saving import Input, ModelSpec, Normalization, weights_hash
from src.provenance.journal import RunRecord
from src.search.engine.worker_pool import exit_if_orphaned
from src.training.early_stopping import Row
from src.training.fit import TrainingResult, fit
from src.training.subset_task import make_task
from src.training.task import TrainingTask

ABOUT = b"assay"  # key in the file's metadata of everything that is not one value per image


@dataclass(frozen=True)
class FoldResult:
    """The result of a fold: a function of the inputs and of ``numerics``, without times and machines."""

    repeat: int
    fold: int
    train_images: int
    val_images: int  # that chose the epoch
    epoch: int  # the chosen one; 1 is the first
    epochs: int  # trained in all
    shift: list[float]  # the fold's own normalization
    scale: list[float]
    weights: str  # SHA-256
    numerics: dict[str, Any]
    settings: dict[str, Any]
    ids: NDArray[np.int64]  # (n,) rows of the fold, ascending
    targets: NDArray[np.int64]  # (n,)
    logits: NDArray[np.float32]  # (n, K)


def run_fold(task: FoldTask) -> FoldResult:
    """Train and test, continue where a killed process stopped, or read a finished result.

    Made for a worker process, which ends when the process that started it is gone.

    Raises:
        AssayError: the inputs make the training fail.
    """
    task.running.mkdir(parents=True, exist_ok=True)
    # A worker whose parent was killed trains on until its epoch ends, then sees that it is alone.
    with FileLock(f"{task.running}.lock"):
        if not task.outcome.is_file():
            _train_and_test(task)
        shutil.rmtree(task.running, ignore_errors=True)
        return read_fold(task.outcome)


def read_fold(path: Path) -> FoldResult:
    """Read the result of a finished fold.

    Raises:
        AssayError: the file is damaged.
    """
    try:
        table = parquet.ParquetFile(path).read()  # read_table would import pandas, for half a second
        about: dict[str, Any] = json.loads(table.schema.metadata[ABOUT])
        columns = [table[name].to_numpy().copy() for name in table.column_names]  # can be written to
        return FoldResult(**about, ids=columns[0], targets=columns[1], logits=np.stack(columns[2:], axis=1))
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise AssayError(
            f"{path} cannot be read ({type(error).__name__}: {error}): delete it, and it is made again"
        ) from error


def read_folds(paths: Sequence[Path]) -> list[FoldResult]:
    """Read the results of finished folds.

    Raises:
        AssayError: a file is damaged, or the folds were computed with different numerics.
    """
    results = [read_fold(path) for path in paths]
    for path, result in zip(paths, results, strict=True):
        if result.numerics != results[0].numerics:
            raise AssayError(
                f"{path} was computed with {result.numerics}, but {paths[0].name} with "
                f"{results[0].numerics}: delete one of them, and its fold is trained again"
            )
    return results


def _train_and_test(task: FoldTask) -> None:
    """Write the outcome; the journal says FINISHED before the file exists, never after."""
    task.outcome.parent.mkdir(parents=True, exist_ok=True)
    with replaced(task.outcome) as beside, _recorded(task) as attempt:
        training = make_task(
            task.sample, task.model, task.augment, task.train, task.train_rows, task.val_rows, task.seed
        )
        fitted = _fit(task, training, attempt)
        logits = _predict(task, training, fitted.network)
        _write(beside, task, training, fitted, logits)
        attempt.update(metrics=_metrics(task, fitted, logits), outputs={"outcome.parquet": file_hash(beside)})


@contextmanager
def _recorded(task: FoldTask) -> Iterator[RunRecord]:
    attempt = RunRecord.open(task.root, {**task.record, "process": process_identity()})
    try:
        yield attempt
    except Exception as error:
        with suppress(OSError):  # a full disk must not hide the error
            attempt.close("FAILED", str(error) or type(error).__name__)
        if isinstance(error, AssayError):
            raise AssayError(f"fold {task.fold} of repeat {task.repeat}: {error}") from error
        raise
    attempt.close("FINISHED")


def _fit(task: FoldTask, training: TrainingTask, attempt: RunRecord) -> TrainingResult:
    def on_epoch(row: Row) -> None:
        attempt.add_epoch(row)
        exit_if_orphaned()

    return fit(
        training,
        task.running,
        task.device,
        on_start=lambda numerics: attempt.update(numerics=numerics),
        on_epoch=on_epoch,
    )


def _predict(task: FoldTask, training: TrainingTask, network: nn.Module) -> NDArray[np.float32]:
    """Logits (n, K) of the fold.

    Raises:
        AssayError: some are not finite.
    """
    _, channels, height, width = training.images.shape
    normalization = Normalization(list(training.shift), list(training.scale))
    spec = ModelSpec(
        task.model,
        list(training.classes),
        Input(channels, height, width, "pad", height * width),
        normalization,
    )
    with computing(task.train):
        if task.train.temperature_scaling:
            spec = replace(spec, temperature=_temperature(task, training, network, spec))
        logits = predict_logits(network, spec, training.images, task.test_rows, task.batch_size, task.device)
    if not np.isfinite(logits).all():
        raise AssayError("the model gives no finite output for some images: lower train.optimizer.lr")
    return logits


def _temperature(task: FoldTask, training: TrainingTask, network: nn.Module, spec: ModelSpec) -> float:
    """Fitted to the images that chose the fold's epoch, none of which are tested."""
    logits = predict_logits(network, spec, training.images, task.val_rows, task.batch_size, task.device)
    return fit_temperature(logits, training.targets[task.val_rows])


def _metrics(task: FoldTask, fitted: TrainingResult, logits: NDArray[np.float32]) -> dict[str, float]:
    """For the journal."""
    hits = logits.argmax(axis=1) == task.sample.targets[task.test_rows]
    return {"cv/accuracy": float(hits.mean()), **fitted.validation, "train/best_epoch": fitted.best_epoch}


def _write(
    path: Path, task: FoldTask, training: TrainingTask, fitted: TrainingResult, logits: NDArray[np.float32]
) -> None:
    about = {
        "repeat": task.repeat,
        "fold": task.fold,
        "train_images": len(task.train_rows),
        "val_images": len(task.val_rows),
        "epoch": fitted.best_epoch,
        "epochs": len(fitted.history),
        "shift": list(training.shift),
        "scale": list(training.scale),
        "weights": weights_hash(fitted.network),
        "numerics": fitted.numerics,
        "settings": task.settings,
    }
    columns = {"id": task.test_rows, "target": task.sample.targets[task.test_rows]}
    columns |= {f"logit_{target}": np.ascontiguousarray(column) for target, column in enumerate(logits.T)}
    table = pa.table(columns).replace_schema_metadata({ABOUT: json.dumps(about)})
    with path.open("wb") as file:
        parquet.write_table(table, file)
        file.flush()
        os.fsync(file.fileno())
