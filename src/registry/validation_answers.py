"""The answers of registered models for the current validation images: stored, or computed by the model."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from src.compression.onnx.runtime import load_onnx
from src.core.errors import AssayError
from src.core.files import read_json
from src.core.hashing import file_hash
from src.data.dataset.arrays import open_array
from src.data.dataset.index import read_index
from src.leaderboard.comparison.non_inferiority import Logits
from src.pipeline.paths import INGEST
from src.registry import promotion
from src.registry.archive import find_archived
from src.registry.promotion import Names, ValidationEvidence, image_names, overlap
from src.registry.registered_model import RegisteredModelView, model_id_of

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

MODEL = "artifacts/model"  # below the files of a LoggedModel
BATCH = 256  # images at a time


class NotComparableError(Exception):
    """A model cannot be judged on the current validation images; the message says why."""


def answers(
    model: RegisteredModelView, version: "ModelVersion", today: ValidationEvidence
) -> ValidationEvidence:
    """The logits of a registered version for the images of ``today``.

    Raises:
        NotComparableError: it was trained on some of them, or cannot be asked.
    """
    known = read_evidence(model, version)
    if known is None:
        raise NotComparableError("the list of the images that it was trained on is missing")
    if learned := overlap(known, today.images):
        raise NotComparableError(learned)
    if known.logits is not None and np.array_equal(known.judged_on, today.judged_on):
        return known
    with _files(model, version, MODEL) as folder:
        if folder is None or file_hash(folder / "model.onnx") != version.tags.get("sha256"):
            raise NotComparableError("its model is not in MLflow, or is not the one that was registered")
        return replace(today, logits=_ask(folder, today.images), trained_on=known.trained_on)


def read_evidence(model: RegisteredModelView, version: "ModelVersion") -> ValidationEvidence | None:
    """What a version is judged by, from the journal or from MLflow; None if it cannot be read."""
    name = version.tags.get("evidence", "")
    archived = find_archived(model.store.root, name)
    if archived is not None:
        return _read(archived)
    if not name:
        return None
    with _files(model, version, "evidence") as folder:
        return None if folder is None else _read(folder)


def _ask(folder: Path, images: Names) -> Logits:
    """Logits (n, K) of the model in ``folder`` for images (n,), which are in data/ingest."""
    try:
        index, pictures = read_index(INGEST), open_array(INGEST / "images.npy")
    except (OSError, AssayError) as error:
        raise NotComparableError(f"today's images are not in {INGEST}: dvc checkout") from error
    spec = read_json(folder / "model.json")
    rows = dict(zip(image_names(index.digests).tolist(), index.ids.tolist(), strict=True))
    missing = sum(name not in rows for name in images.tolist())
    if missing:
        raise NotComparableError(f"{missing} of today's {len(images)} validation images are not in {INGEST}")
    size = tuple(spec["input"][key] for key in ("channels", "height", "width"))
    if (spec["classes"], size) != (index.classes, pictures.shape[1:]):
        raise NotComparableError("it was trained for other classes or for images of another size")
    predict, ids = load_onnx(folder / "model.onnx", threads=1), [rows[name] for name in images.tolist()]
    batches = (ids[start : start + BATCH] for start in range(0, len(ids), BATCH))
    return np.concatenate([predict(pictures[batch]) for batch in batches])


@contextmanager
def _files(model: RegisteredModelView, version: "ModelVersion", path: str) -> Iterator[Path | None]:
    """A folder among a version's files, downloaded from MLflow; None if MLflow does not have it."""
    client, model_id = model.store.client, model_id_of(version)
    if not client.list_logged_model_artifacts(model_id, path):
        yield None
        return
    from mlflow.artifacts import download_artifacts

    location = client.get_logged_model(model_id).artifact_location
    with tempfile.TemporaryDirectory() as place:
        yield Path(download_artifacts(f"{location}/{path}", dst_path=place))


def _read(folder: Path) -> ValidationEvidence | None:
    try:
        return promotion.load(folder)
    except (OSError, ValueError):
        return None
