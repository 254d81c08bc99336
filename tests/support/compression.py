"""A small network trained on real digits, and a context for the steps of a variant."""

from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from src.compression.artifacts import StepContext, TorchModel
from src.data.dataset.spec import DataSpec
from src.models.saving import Input, ModelSpec, Normalization
from src.training.fit import fit
from src.training.task import TrainingTask
from tests.support.training_tasks import digits_task

CLASSES = [str(number) for number in range(10)]


@lru_cache
def base_task() -> TrainingTask:
    """Half of the digits to train on; every seventh to choose by."""
    return digits_task(
        images=900,
        model={"widths": [16, 32]},
        train={"epochs": 6, "ema_decay": 0.0},
        schedule={"warmup": 0.2},
    )


@lru_cache
def base() -> TorchModel:
    """The trained network. Do not change it."""
    task = base_task()
    with TemporaryDirectory() as state:
        network = fit(task, Path(state), device="cpu").network
    spec = ModelSpec(task.model, CLASSES, Input(1, 8, 8, "pad", 10**6), Normalization([0.3], [0.37]))
    return TorchModel(network, spec)


def context(state: Path, **changes: Any) -> StepContext:
    """With the rows of the base's training."""
    task = base_task()
    fields: dict[str, Any] = {
        "data": DataSpec(),
        "images": task.images,
        "targets": task.targets,
        "train_rows": task.train_rows,
        "val_rows": task.val_rows,
        "base": base(),
        "train": task.train,
        "augment": task.augment,
        "seed": 3,
        "threads": 1,
        "device": "cpu",
        "weights": Path("data/weights"),
        "features": None,
        "state": state,
        "show": False,
        "say": lambda text: None,
    }
    return StepContext(**{**fields, **changes})


def accuracy(model: TorchModel, rows: np.ndarray | None = None) -> float:
    """Share of validation images (or of ``rows``) that the network gets right."""
    task = base_task()
    rows = task.val_rows if rows is None else rows
    with torch.inference_mode():
        logits = model.normalized()(torch.from_numpy(task.images[rows]))
    return float((logits.argmax(1).numpy() == task.targets[rows]).mean())


def weights(model: TorchModel) -> dict[str, bytes]:
    """The bytes of each tensor."""
    return {name: value.numpy().tobytes() for name, value in model.network.state_dict().items()}
