"""A training that ends as soon as it has shown what was asked, and leaves no files."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytorch_lightning as pl

from src.config.schema.model import FeatureModel
from src.core.errors import AssayError
from src.training.fit import Watch, fit
from src.training.task import TrainingTask

# What costs time and changes no step.
OFF = {"ema_decay": 0.0, "swa_start": 0.0, "patience": 0, "monitor": "val/loss"}


class ProbeEndedError(Exception):
    """A callback raises it when it knows enough."""


def probe(
    task: TrainingTask, callback: pl.Callback, batch_size: int, steps: int, device: str, show: bool = False
) -> None:
    """Train for ``steps`` batches of one epoch, or until the callback raises `ProbeEndedError`.

    Training images come again if they are fewer. One step has one batch, and one image validates.

    Raises:
        AssayError: the model is fitted without steps, or as `src.training.fit.fit`.
    """
    if isinstance(task.model, FeatureModel):
        raise AssayError(
            f"model.kind={task.model.kind} is fitted without steps: it has no learning rate and no batch size"
        )
    changes: dict[str, Any] = {
        **OFF,
        **{"epochs": 1, "batch_size": batch_size, "accumulate_grad_batches": 1},
    }
    random = np.random.default_rng(task.seed)
    shorter = replace(
        task,
        train=task.train.model_copy(update=changes),
        train_rows=np.resize(random.permutation(task.train_rows), batch_size * steps),
        val_rows=task.val_rows[:1],
        metrics=(),
    )
    with TemporaryDirectory() as folder:
        try:
            fit(shorter, Path(folder), device, show, watch=Watch([callback]))
        except ProbeEndedError:
            return
