"""Small trainings on the real digits."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from pydantic import TypeAdapter
from safetensors.torch import save_file
from sklearn.datasets import load_digits

from src.config.schema.augment import Augment
from src.config.schema.model import FeatureModel, ModelConfig
from src.config.schema.train import Train
from src.training.fit import TrainingResult
from src.training.task import TrainingTask

CONF = Path(__file__).parents[2] / "conf"
CROP = {"name": "crop", "padding": 1}
ROTATE = {"name": "rotate", "degrees": 10.0}
ERASE = {"name": "erase", "p": 0.5, "area": 0.1}

# Models that take no image of 8 pixels: how many times larger it must be.
ENLARGED = {"vgg11": 4, "inception_v3": 4}

# What each must keep through a kill.
SETTINGS: dict[str, dict[str, Any]] = {
    "averaging_plateau_stopping": {
        "model": {"widths": [4, 8]},
        "train": {
            "epochs": 8,
            "ema_decay": 0.9,
            "patience": 2,
            "gradient_clip_val": 1.0,
            "monitor": "val/loss",
        },
        "optimizer": {"name": "sgd", "lr": 1.0},
        "schedule": {"name": "plateau", "patience": 0, "warmup": 0.1},
    },
    "dropout_augmentation_one_cycle": {
        "model": {"widths": [4, 8], "dropout": 0.3},
        "train": {"epochs": 5},
        "augment": [CROP, ROTATE, ERASE],
        "optimizer": {"name": "adamw"},
        "schedule": {"name": "one_cycle", "warmup": 0.3},
    },
    "rmsprop_cosine_fp32": {
        "model": {"widths": [4], "batch_norm": False},
        "train": {"epochs": 4, "precision": "fp32"},
        "optimizer": {"name": "rmsprop", "lr": 0.001},
        "schedule": {"name": "cosine", "warmup": 0.2},
    },
    "gradual_unfreezing": {
        "model": {"widths": [4, 8]},
        "train": {
            "epochs": 5,
            "ema_decay": 0.9,
            "finetune": {"layers": "gradual", "stages": 1, "unfreeze_epochs": [2, 4], "layer_decay": 0.7},
        },
        "schedule": {"name": "cosine", "warmup": 0.2},
    },
    "swa_mixing_accumulation": {
        "model": {"widths": [4, 8]},
        "train": {
            "epochs": 5,
            "ema_decay": 0.0,
            "swa_start": 0.5,
            "batch_size": 32,
            "accumulate_grad_batches": 4,
            "sampler": "balanced",
            "mixup": 0.2,
            "cutmix": 1.0,
            "l1": 1e-5,
            "loss": {"name": "focal", "gamma": 2.0},
            "monitor": "val/f1_macro",
        },
        "optimizer": {"name": "lamb", "lr": 0.02},
    },
    "ema_accumulation_weights": {
        "model": {"widths": [4, 8]},
        "train": {
            "epochs": 4,
            "ema_decay": 0.9,
            "batch_size": 32,
            "accumulate_grad_batches": 5,
            "class_weights": "effective_number",
            "loss": {"name": "binary_cross_entropy", "gamma": 0.0},
            "monitor": "val/recall/3",
        },
        "optimizer": {"name": "adamw", "options": {"betas": [0.8, 0.95]}},
    },
    "head_on_features": {
        "model": {"widths": [4, 8]},
        "train": {
            "epochs": 4,
            "ema_decay": 0.9,
            "finetune": {"layers": "head", "stages": 1, "unfreeze_epochs": [2, 4], "layer_decay": 1.0},
        },
        "optimizer": {"lr": 0.1},
    },
}


def section(path: str) -> dict[str, Any]:
    """A file of conf/, with what it takes from another file of its group."""
    content: dict[str, Any] = yaml.safe_load((CONF / path).read_text(encoding="utf-8"))
    for base in content.pop("defaults", []):
        if isinstance(base, str) and base != "_self_":  # the others choose from other groups
            content = section(f"{Path(path).parent}/{base}.yaml") | content
    return content


def model_names() -> list[str]:
    """Every choice of model=."""
    return sorted(path.stem for path in (CONF / "model").glob("*.yaml"))


def trained_names() -> list[str]:
    """Those that are trained in epochs; the others are fitted to features."""
    return [name for name in model_names() if not isinstance(model_section(name), FeatureModel)]


def model_section(name: str) -> ModelConfig:
    """What model=NAME means."""
    found: ModelConfig = TypeAdapter(ModelConfig).validate_python(section(f"model/{name}.yaml"))
    return found


def digits(enlarged: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """uint8 (1797, 1, 8 · enlarged, 8 · enlarged) and int64 (1797,)."""
    found = load_digits()
    pixels = (found.images * 255 / 16).round().astype(np.uint8)[:, None]
    return pixels.repeat(enlarged, 2).repeat(enlarged, 3), found.target.astype(np.int64)


def digits_task(
    seed: int = 0,
    images: int = 700,
    model: dict[str, Any] | None = None,
    train: dict[str, Any] | None = None,
    augment: list[dict[str, Any]] | None = None,
    optimizer: dict[str, Any] | None = None,
    schedule: dict[str, Any] | None = None,
    enlarged: int = 1,
) -> TrainingTask:
    """A training on some digits, one thread; every seventh image is for validation.

    ``model`` changes fields of the cnn, or is a whole section if it has a kind.
    """
    pixels, targets = digits(enlarged)
    whole = section("train/default.yaml") | {"threads": 1, "batch_size": 64, "patience": 0} | (train or {})
    whole["optimizer"] |= optimizer or {}
    whole["schedule"] |= schedule or {}
    rows = np.arange(images)
    whole_model = model if model and "kind" in model else section("model/cnn.yaml") | (model or {})
    return TrainingTask(
        model=TypeAdapter(ModelConfig).validate_python(whole_model),
        augment=Augment.model_validate({"operations": augment or []}),
        train=Train.model_validate(whole),
        images=pixels,
        targets=targets,
        train_rows=rows[rows % 7 > 0],
        val_rows=rows[rows % 7 == 0],
        shift=[0.3],
        scale=[0.37],
        classes=[str(digit) for digit in range(10)],
        seed=seed,
    )


def write_outcome(path: Path, fitted: TrainingResult) -> None:
    """The weights at ``path``, and the history beside them."""
    save_file({name: value.contiguous() for name, value in fitted.network.state_dict().items()}, path)
    path.with_suffix(".json").write_text(json.dumps([fitted.history, fitted.hashes, fitted.best_epoch]))


def model_task(name: str) -> TrainingTask:
    """A short training of model=NAME with dropout and averaged weights."""
    return digits_task(
        images=150,
        model=section(f"model/{name}.yaml") | {"dropout": 0.1},
        train={"epochs": 2, "ema_decay": 0.9},
        optimizer={"lr": 0.0005},
        enlarged=ENLARGED.get(name, 1),
    )
