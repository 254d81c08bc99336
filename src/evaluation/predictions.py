"""The base model's predictions for the images of one split."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from src.core.errors import AssayError
from src.data.dataset.arrays import open_array
from src.data.dataset.index import read_index, read_split
from src.data.dataset.spec import (
    DataSpec,
    describe_model,
    describe_predictions,
    describe_split,
    require_match,
)
from src.evaluation.metrics.classification import Floats, Integers, softmax
from src.models.inference import predict_logits
from src.models.saving import load_model


@dataclass(frozen=True)
class Predictions:
    """Probabilities of n images over K classes."""

    split: str  # that the images are of
    classes: list[str]
    ids: Integers  # (n,) rows of the image array, ascending
    targets: Integers  # (n,)
    probabilities: Floats  # (n, K)
    data: DataSpec  # of the images and the model
    sources: list[str]  # (n,) paths of the images below the folder of the raw data
    uncalibrated: Floats | None  # (n, K) without the model's temperature; None: it has none


def predict_images(
    name: str, model: Path, ingest: Path, split: Path, *, batch_size: int, device: str, show: bool
) -> Predictions:
    """Run the saved model on the images of one split.

    Args:
        name: of the split, such as test.
        model: folder of the model.
        ingest: folder of the images and their manifest.
        split: folder of ``splits.parquet``.
        batch_size: images per batch.
        device: auto, cpu, cuda or cuda:N.
        show: whether to draw a progress bar.

    Raises:
        AssayError: no such images, a model of other data, or one whose output is not finite.
    """
    network, spec = load_model(model)
    index, data = read_index(ingest), describe_split(ingest, split)
    require_match((ingest, data), (model, describe_model(model)))
    ids = index.ids[_is_in(name, split, ingest, data)]
    images = ingest / "images.npy"
    logits = predict_logits(network, spec, open_array(images), ids, batch_size, device, show)
    broken = ids[~np.isfinite(logits).all(axis=1)]
    if len(broken):
        raise AssayError(
            f"{model} gives no finite output for {len(broken)} of {len(ids)} {name} images (the first is row "
            f"{broken[0]} of {images}). Train again with a lower train.optimizer.lr"
        )
    return Predictions(
        name,
        spec.classes,
        ids,
        index.targets[ids],
        softmax(logits),
        data=describe_predictions(model, data),
        sources=[index.sources[row] for row in ids.tolist()],
        uncalibrated=None if spec.temperature == 1 else softmax(logits * np.float32(spec.temperature)),
    )


def _is_in(name: str, split: Path, ingest: Path, data: DataSpec) -> NDArray[np.bool_]:
    """Whether each image is in the split of this name, (N,)."""
    chosen = read_split(split, ingest, data)[0] == name
    if not chosen.any():
        raise AssayError(f"{split / 'splits.parquet'} has no {name} rows. Split again: dvc repro split")
    return np.asarray(chosen)
