"""Classifiers on the features of a tiny network with weights of its own, and the real digits."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from safetensors.torch import save_file

from src.config.schema.model import FeatureModel, ModelConfig
from src.models.build import build_model
from src.training.task import TrainingTask
from tests.support.training_tasks import digits_task, section

NAME = "test_resnet"  # of timm
WEIGHTS = f"{NAME}.safetensors"


def feature_model(kind: str, **fields: Any) -> FeatureModel:
    """What model=KIND means, with the tiny network."""
    values = section(f"model/{kind}.yaml") | {"name": NAME, "weights": WEIGHTS} | fields
    model: FeatureModel = TypeAdapter(ModelConfig).validate_python(values)
    return model


def write_weights(folder: Path) -> Path:
    """Random weights of the tiny network for gray images of 8 pixels, with a head for 10 classes."""
    torch.manual_seed(1)
    network = build_model(
        TypeAdapter(ModelConfig).validate_python(section("model/timm.yaml") | {"name": NAME}), 1, 10, (8, 8)
    )
    folder.mkdir(parents=True, exist_ok=True)
    save_file(network.state_dict(), folder / WEIGHTS)
    return folder / WEIGHTS


def feature_task(kind: str, folder: Path, train: dict[str, Any] | None = None, **fields: Any) -> TrainingTask:
    """A fit on some digits, with the weights in ``folder``."""
    task = digits_task(train={"precision": "fp32"} | (train or {}))
    return replace(task, model=feature_model(kind, **fields), weights=write_weights(folder))
