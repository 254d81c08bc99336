"""Trainings on parts of one dataset: the trials of a search and the folds of a cross-validation.

A shared dataset names the array of images by its path, so that it is small enough to be sent to a worker
process. Each training takes its own rows and computes its own normalization.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from src.config.schema.augment import Augment
from src.config.schema.model import ModelConfig
from src.config.schema.train import Train
from src.data.dataset.arrays import open_array
from src.data.dataset.statistics import Floats, Method, channel_statistics, normalization_from
from src.pretrained.files import find_weights, pretrained_normalization
from src.training.task import Rows, TrainingTask

CACHED = 32  # normalizations that a process remembers: trials share a few sets of rows


@dataclass(frozen=True)
class SharedDataset:
    """Images with their classes; ``normalize`` says which statistics a training computes from its rows."""

    images: Path  # of an array (N, C, H, W) uint8
    targets: NDArray[np.int64]  # (N,) 0 … K-1
    classes: Sequence[str]  # K names
    normalize: Method
    features: Path | None = None  # folder for features of a frozen backbone, which trainings share

    @property
    def weights(self) -> Path:
        """The folder with pretrained weights, data/weights beside data/ingest."""
        return self.images.parent.parent / "weights"


def make_task(
    sample: SharedDataset,
    model: ModelConfig,
    augment: Augment,
    train: Train,
    train_rows: Rows,
    val_rows: Rows,
    seed: int,
    metrics: Sequence[str] = (),
) -> TrainingTask:
    """A training on ``train_rows`` (n,), whose pixels alone decide its normalization.

    Raises:
        AssayError: the images cannot be read, or ``train_rows`` is empty.
    """
    shift, scale = normalization(sample, model, train_rows)
    return TrainingTask(
        model=model,
        augment=augment,
        train=train,
        images=open_array(sample.images),
        targets=sample.targets,
        train_rows=train_rows,
        val_rows=val_rows,
        shift=shift.tolist(),
        scale=scale.tolist(),
        classes=sample.classes,
        seed=seed,
        weights=find_weights(model, sample.weights),
        features=sample.features,
        metrics=metrics,
    )


def normalization(sample: SharedDataset, model: ModelConfig, rows: Rows) -> tuple[Floats, Floats]:
    """Shift and scale, (C,) each, from the pixels of ``rows`` (n,), or those of the pretrained weights."""
    if sample.normalize == "pretrained":
        channels = open_array(sample.images).shape[1]
        return pretrained_normalization(model, sample.weights, channels)
    return _normalization(sample.images, sample.normalize, np.ascontiguousarray(rows, np.int64).tobytes())


@lru_cache(CACHED)
def _normalization(images: Path, method: Method, rows: bytes) -> tuple[Floats, Floats]:
    statistics = channel_statistics(open_array(images), np.frombuffer(rows, np.int64))
    shift, scale, _ = normalization_from(statistics, method)
    return shift, scale
