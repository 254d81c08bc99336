"""A trained model as two files: ``model.safetensors`` (weights) and ``model.json`` (all else)."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from src.config.schema.model import ModelConfig
from src.core.errors import AssayError
from src.models.build import build_model

WEIGHTS = "model.safetensors"
SPEC = "model.json"


@dataclass(frozen=True)
class Input:
    """The images that the model takes."""

    channels: int  # 1: gray, 3: RGB
    height: int  # pixels
    width: int
    resize_mode: str  # pad, crop or stretch, for images with another aspect ratio
    max_pixels: int  # larger images are refused before they are decoded
    pad: str = "black"  # what pad adds: black, white, edge or mean


@dataclass(frozen=True)
class Normalization:
    """x' = (x - shift) / scale, one value a channel, for pixels x in 0…1."""

    shift: list[float]
    scale: list[float]


@dataclass(frozen=True)
class ModelSpec:
    """What is needed besides the weights to use a model."""

    model: ModelConfig
    classes: list[str]  # in the order of the logits
    input: Input
    normalization: Normalization
    temperature: float = 1.0  # by which logits are divided, so that probabilities mean what they say
    decision: Mapping[str, Any] | None = None  # rule of `src.serving.decision`; None: the most probable class
    trained_on: Mapping[str, str] = field(default_factory=dict)  # images and split, see DataSpec
    started_from: Mapping[str, str] = field(default_factory=dict)  # file and SHA-256 of pretrained weights

    def to_json(self) -> str:
        content = {
            "model": self.model.model_dump(mode="json"),
            "classes": self.classes,
            "input": vars(self.input),
            "normalization": vars(self.normalization),
            "temperature": self.temperature,
            "decision": self.decision,
            "trained_on": self.trained_on,
            "started_from": self.started_from,
        }
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "ModelSpec":
        content: dict[str, Any] = json.loads(text)
        return cls(
            model=TypeAdapter(ModelConfig).validate_python(content["model"]),
            classes=list(content["classes"]),
            input=Input(**content["input"]),
            normalization=Normalization(**content["normalization"]),
            temperature=float(content.get("temperature", 1.0)),
            decision=content.get("decision"),
            trained_on=content.get("trained_on", {}),
            started_from=content.get("started_from", {}),
        )


def weights_hash(network: nn.Module) -> str:
    """SHA-256 of what ``save_model`` would write as ``model.safetensors``."""
    return hashlib.sha256(_weights_file(network)).hexdigest()


def save_model(folder: Path, network: nn.Module, spec: ModelSpec) -> None:
    """Write both files into ``folder``; the same weights and spec always give the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / WEIGHTS).write_bytes(_weights_file(network))
    (folder / SPEC).write_text(spec.to_json(), encoding="utf-8")


def load_model(folder: Path) -> tuple[nn.Module, ModelSpec]:
    """The network in evaluation mode, on the CPU, and its spec.

    Raises:
        AssayError: a file is missing, damaged, or belongs to another model.
    """
    spec = _read_spec(folder)
    size = (spec.input.height, spec.input.width)
    network = build_model(spec.model, spec.input.channels, len(spec.classes), size)
    try:
        network.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise _damaged(folder / WEIGHTS, error) from error
    return network.eval(), spec


def _weights_file(network: nn.Module) -> bytes:
    """Copies: the format knows neither views nor two names for one tensor."""
    state = sorted(network.state_dict().items())
    return save({name: value.detach().cpu().contiguous().clone() for name, value in state})


def _read_spec(folder: Path) -> ModelSpec:
    try:
        return ModelSpec.from_json((folder / SPEC).read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        raise _damaged(folder / SPEC, error) from error


def _damaged(path: Path, error: Exception) -> AssayError:
    reason = f"{type(error).__name__}: {error}".splitlines()[0]  # torch adds a line for each weight
    return AssayError(
        f"{path} cannot be read ({reason}): restore it with `dvc checkout`, "
        "or make it again with `dvc repro train`"
    )
