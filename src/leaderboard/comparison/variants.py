"""The models that are compared: the predictions of each for the held-out images, and its size."""

import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pyarrow import parquet

from src.config.schema.train import Train
from src.core.errors import AssayError
from src.core.files import read_json
from src.core.metric_names import unnest
from src.data.dataset.arrays import open_array
from src.data.dataset.index import HeldOutRows
from src.models.inference import predict_logits
from src.models.numerics import computing
from src.models.saving import WEIGHTS, load_model
from src.models.size import ModelSize, measure_size


@dataclass(frozen=True)
class MeasuredModel:
    """A model's predictions, and its size."""

    logits: NDArray[np.float32]  # (n, K), rows as in HeldOutRows
    size: ModelSize


@dataclass(frozen=True)
class VariantPredictions:
    """A variant by its name; one with a ``reason`` failed, and has no model."""

    name: str
    steps: tuple[str, ...]
    model: MeasuredModel | None
    reason: str | None = None


def measure_base(
    folder: Path, images: Path, held: HeldOutRows, *, batch_size: int, train: Train, show: bool
) -> MeasuredModel:
    """Run the base model on the held-out images, and measure its size.

    Args:
        folder: of the model.
        images: file of the image array.
        held: the images to predict.
        batch_size: images per batch.
        train: how to compute: its precision and threads.
        show: whether to draw a progress bar.

    Raises:
        AssayError: its output is not finite.
    """
    network, spec = load_model(folder)
    pictures = open_array(images)
    with computing(train):
        logits = predict_logits(network, spec, pictures, held.ids, batch_size, "cpu", show)
    if not np.isfinite(logits).all():
        raise AssayError(f"{folder} gives no finite output: train it again with a lower train.optimizer.lr")
    example = torch.zeros(1, *pictures.shape[1:])
    return MeasuredModel(logits, measure_size(network, example, (folder / WEIGHTS).read_bytes()))


def read_variant(folder: Path, held: HeldOutRows) -> VariantPredictions:
    """Read what stage compress wrote into ``folder``.

    Raises:
        AssayError: a file is missing or damaged, or its predictions are of other images.
    """
    try:
        about = read_json(folder / "variant.json")
        steps = tuple(about["steps"])
        if about["status"] != "ok":
            return VariantPredictions(folder.name, steps, None, str(about["reason"]))
        size = ModelSize.from_metrics(unnest(about))
        return VariantPredictions(folder.name, steps, MeasuredModel(_read_logits(folder, held), size))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AssayError(
            f"{folder} cannot be read ({type(error).__name__}: {error}): restore it with `dvc checkout`, or "
            f"make it again with `dvc repro compress@{folder.name}`"
        ) from error


def remove_stale_variants(models: Path, named: Collection[str]) -> list[str]:
    """Remove the folders of variants that are not ``named`` any more; returns their names."""
    stale = [path.parent for path in models.glob("*/variant.json") if path.parent.name not in named]
    for folder in stale:
        shutil.rmtree(folder)
    return sorted(folder.name for folder in stale)


def _read_logits(folder: Path, held: HeldOutRows) -> NDArray[np.float32]:
    path = folder / "predictions.parquet"
    table = parquet.ParquetFile(path).read()
    stored = [table[name].to_numpy() for name in ("id", "target")]
    if not all(map(np.array_equal, stored, (held.ids, held.targets))):
        raise ValueError(f"{path.name} is of other images than data/split holds out")
    columns = [name for name in table.column_names if name.startswith("logit_")]
    logits = [table[f"logit_{index}"].to_numpy() for index in range(len(columns))]
    return np.stack(logits, axis=1).astype(np.float32)
