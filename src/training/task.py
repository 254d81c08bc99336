"""What decides a training, apart from the machine."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from src.config.schema.augment import Augment
from src.config.schema.model import ModelConfig
from src.config.schema.train import Train
from src.core.files import read_json
from src.data.dataset.arrays import open_array
from src.data.dataset.index import read_index, read_split
from src.data.dataset.spec import DataSpec, describe_split, require_match
from src.pretrained.files import find_weights

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class TrainingTask:
    """Settings and data of one training."""

    model: ModelConfig
    augment: Augment
    train: Train
    images: NDArray[np.uint8]  # (N, C, H, W), may be memory-mapped
    targets: NDArray[np.int64]  # (N,) 0 … K-1
    train_rows: Rows
    val_rows: Rows
    shift: Sequence[float]  # one per channel, for pixels in 0…1
    scale: Sequence[float]
    classes: Sequence[str]  # K names
    seed: int
    weights: Path | None = None  # file of weights to start from
    features: Path | None = None  # folder for features that trainings share
    metrics: Sequence[str] = ()  # of the validation images, measured after each epoch beside train.monitor


def read_task(
    model: ModelConfig,
    augment: Augment,
    train: Train,
    seed: int,
    ingest: Path,
    split: Path,
    normalize: Path,
    weights: Path,
    features: Path | None = None,
) -> tuple[TrainingTask, DataSpec]:
    """A training on the training split that is validated on the validation split.

    Args:
        ingest: folder with the images and their manifest.
        split: folder with the split of each image.
        normalize: folder with ``shift`` and ``scale``, one value per channel.
        weights: folder with pretrained weights, see ``model.weights``.
        features: folder for features of a frozen backbone, which trainings share.

    Returns:
        The task and what describes its data.

    Raises:
        AssayError: the images cannot be read, the folders do not belong together, or weights are missing.
    """
    normalization, data = read_json(normalize / "normalization.json"), describe_split(ingest, split)
    require_match((ingest, data), (normalize, DataSpec(**normalization.get("data", {}))))
    index, (names, _) = read_index(ingest), read_split(split, ingest, data)
    task = TrainingTask(
        model=model,
        augment=augment,
        train=train,
        images=open_array(ingest / "images.npy"),
        targets=index.targets,
        train_rows=index.ids[names == "train"],
        val_rows=index.ids[names == "val"],
        shift=normalization["shift"],
        scale=normalization["scale"],
        classes=index.classes,
        seed=seed,
        weights=find_weights(model, weights),
        features=features,
    )
    return task, data
