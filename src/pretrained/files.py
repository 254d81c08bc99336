"""The files in data/weights: which one ``model.weights`` names, and how its training normalized images.

``NAME.json`` beside the weights says that, as ``python -m src.fetch`` writes it.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src.config.schema.model import IMAGENET, Backbone, ModelConfig
from src.core.errors import AssayError
from src.core.files import read_json
from src.core.hashing import file_hash
from src.core.wording import counted

SAFETENSORS = ".safetensors"
ENDINGS = (SAFETENSORS, ".pth", ".pt", ".bin")  # the others are read with weights_only=True

Floats = NDArray[np.float64]


def find_weights(model: ModelConfig, folder: Path) -> Path | None:
    """The file that ``model.weights`` names; None: start from random weights.

    Args:
        folder: data/weights.

    Raises:
        AssayError: the file is missing, or a note beside it says that it is of another model.
    """
    if model.weights is None:
        return None
    if model.weights != IMAGENET:
        return _existing(folder, model.weights, model)
    if not isinstance(model, Backbone):
        raise AssayError(
            f"model.weights=imagenet is for timm models, and model.kind={model.kind}: take a model such as "
            "model=resnet18, or name a file in data/weights"
        )
    found = [path for ending in ENDINGS if (path := folder / f"{model.name}{ending}").is_file()]
    if not found:
        raise AssayError(
            f"model.weights=imagenet: {folder / model.name}{SAFETENSORS} is missing. Download it: python -m "
            f"src.fetch {model.name}. Or put a file there yourself (endings: {', '.join(ENDINGS)})"
        )
    if len(found) > 1:
        raise AssayError(
            f"model.weights=imagenet: {' and '.join(map(str, found))} are both there. Delete one, or name "
            "the other in model.weights"
        )
    _check_note(found[0], model)
    return found[0]


def pretrained_normalization(model: ModelConfig, folder: Path, channels: int) -> tuple[Floats, Floats]:
    """Shift and scale, (C,) each, that the weights named by ``model.weights`` were trained with.

    Gray images take the means over the colors.

    Raises:
        AssayError: nothing says what the weights were trained with.
    """
    path = find_weights(model, folder)
    if path is None:
        raise AssayError(
            "normalize.method=pretrained needs weights to start from: set model.weights, or "
            "normalize.method=standard"
        )
    beside = path.with_suffix(".json")
    if not beside.is_file():
        raise AssayError(
            f"normalize.method=pretrained: {beside} is missing, which says how {path.name} was normalized. "
            f"Write it: python -m src.fetch {path.stem} --from {folder}, or set normalize.method=standard"
        )
    shift, scale = _normalization(beside)
    if channels == 1 and len(shift) == 3:
        return shift.mean(keepdims=True), scale.mean(keepdims=True)
    if channels != len(shift):
        raise AssayError(
            f"normalize.method=pretrained: {path.name} was trained on {counted(len(shift), 'channel')}, but "
            f"data.channels={channels}: set normalize.method=standard"
        )
    return shift, scale


def _normalization(beside: Path) -> tuple[Floats, Floats]:
    try:
        said = read_json(beside)["normalization"]
        shift, scale = (np.asarray(said[name], np.float64) for name in ("shift", "scale"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AssayError(
            f"{beside} is damaged ({type(error).__name__}: {error}): write it again with fetch"
        ) from error
    if shift.shape != scale.shape or shift.ndim != 1 or not (scale > 0).all():
        raise AssayError(
            f"{beside} is damaged: shift and scale must have a value for each channel, scale above 0"
        )
    return shift, scale


def _check_note(path: Path, model: ModelConfig) -> None:
    """``NAME.json`` beside the weights may give their hash and the model that they belong to.

    Networks with equal layers would accept each other's weights, and compute something else with them.
    """
    beside = path.with_suffix(".json")
    if not beside.is_file():
        return
    try:
        note = read_json(beside)
        known, theirs = note.get("sha256"), _model_name(note.get("model"))
    except (OSError, ValueError, AttributeError) as error:
        raise AssayError(f"{beside} is damaged ({error}): delete it, or fetch the weights again") from error
    if known is not None and known != file_hash(path):
        raise AssayError(
            f"{path} is not the file that {beside.name} describes. Fetch it again, or delete {beside.name} "
            "if the weights were replaced on purpose"
        )
    own = _model_name(model.model_dump())
    if theirs is not None and theirs != own:
        raise AssayError(
            f"{path} has weights of {theirs}, as {beside.name} says, and the model is {own}: choose the "
            f"model {theirs}, or other weights"
        )


def _model_name(said: Any) -> str | None:
    """Of a name of timm, which may end in a tag such as ``.a1_in1k``, or of a section ``model``."""
    name = said.get("name", said.get("kind")) if isinstance(said, dict) else said
    return None if name is None else str(name).partition(".")[0]


def _existing(folder: Path, name: str, model: ModelConfig) -> Path:
    path = folder / name
    if path.is_file():
        _check_note(path, model)
        return path
    there = sorted(file.name for file in folder.glob("*") if file.suffix in ENDINGS)
    raise AssayError(
        f"model.weights={name}: {path} is missing ({folder} has {', '.join(there) or 'no weights'}). Put the "
        "file there, or name another one"
    )
