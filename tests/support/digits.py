"""A small real model to compress: a cnn that learns scikit-learn's digits in two seconds."""

import copy
from functools import cache
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch.nn import functional

from src.compression.artifacts import StepContext, TorchModel
from src.config.schema.augment import Augment
from src.config.schema.model import Cnn, Timm
from src.config.schema.train import Loss, Optimizer, Schedule, Train, TransferLearning
from src.data.dataset.spec import DataSpec
from src.models.build import build_model
from src.models.saving import Input, ModelSpec, Normalization

CNN = Cnn(
    kind="cnn", widths=[32, 64], kernel_size=3, activation="relu", pooling="max", batch_norm=True, dropout=0.0
)
TRAIN = Train(
    epochs=4,
    batch_size=64,
    accumulate_grad_batches=1,
    sampler="shuffle",
    optimizer=Optimizer(name="adamw", lr=0.003, weight_decay=0.02, momentum=0.9, options={}),
    schedule=Schedule(name="one_cycle", warmup=0.1, step_epochs=1, gamma=0.1, patience=1),
    loss=Loss(name="cross_entropy", gamma=2.0),
    class_weights="none",
    class_weights_beta=0.999,
    label_smoothing=0.1,
    mixup=0.0,
    cutmix=0.0,
    l1=0.0,
    gradient_clip_val=0.0,
    ema_decay=0.99,
    swa_start=0.0,
    patience=0,
    monitor="val/accuracy",
    temperature_scaling=True,
    finetune=TransferLearning(layers="all", stages=1, unfreeze_epochs=[], layer_decay=1.0),
    callbacks=[],
    precision="auto",
    threads=1,
)
ROWS = np.random.default_rng(0).permutation(1797)
TRAIN_ROWS, VAL_ROWS, TEST_ROWS = np.sort(ROWS[:1200]), np.sort(ROWS[1200:1500]), np.sort(ROWS[1500:])


@cache
def digits():
    """Images (1797, 1, 8, 8) uint8 and classes."""
    images, targets = load_digits(return_X_y=True)
    return (images.reshape(-1, 1, 8, 8) * 255 / 16).astype(np.uint8), targets.astype(np.int64)


def make_spec(section, channels=1, size=8):
    classes = [str(number) for number in range(10)]
    norm = Normalization([0.3] * channels, [0.37] * channels)
    return ModelSpec(section, classes, Input(channels, size, size, "pad", 10**6), norm)


def make_context(model, folder, **changes):
    images, targets = digits()
    values = {
        "data": DataSpec(),
        "images": images,
        "targets": targets,
        "train_rows": TRAIN_ROWS,
        "val_rows": VAL_ROWS,
        "base": model,
        "train": TRAIN,
        "augment": Augment(operations=[]),
        "seed": 3,
        "threads": 1,
        "device": "cpu",
        "weights": Path("data/weights"),
        "features": None,
        "state": folder / "state",
        "show": False,
        "say": lambda line: None,
    }
    return StepContext(**(values | changes))


def trained():
    """The cnn, which classifies about 98 % of the validation images correctly.

    A copy for each caller: running the network on images changes its memory layout, and that its export.
    """
    return copy.deepcopy(_train())


@cache
def _train():
    images, targets = digits()
    torch.manual_seed(0)
    network = build_model(CNN, 1, 10, (8, 8))
    model = TorchModel(network, make_spec(CNN))
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.003)
    whole = model.normalized().train()
    for epoch in range(6):
        order = np.random.default_rng(epoch).permutation(TRAIN_ROWS)
        for start in range(0, len(order) - 63, 64):
            rows = order[start : start + 64]
            loss = functional.cross_entropy(
                whole(torch.from_numpy(images[rows])), torch.from_numpy(targets[rows])
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    whole.eval()
    return model


def accuracy(logits, rows):
    """Share of right predictions."""
    return float(np.mean(logits.argmax(1) == digits()[1][rows]))


def make_timm(name, size=32):
    """An untrained network of timm with the running statistics of noise, and noise as its input."""
    section = Timm(kind="timm", name=name, weights=None, stem="auto", dropout=0.0, drop_path=0.0)
    torch.manual_seed(0)
    network = build_model(section, 3, 10, (size, size)).train()
    images = np.random.default_rng(0).integers(0, 256, (64, 3, size, size), dtype=np.uint8)
    model = TorchModel(network, make_spec(section, 3, size))
    with torch.no_grad():
        for _ in range(20):
            model.normalized().train()(torch.from_numpy(images[:16]))
    network.eval()
    return model, images
