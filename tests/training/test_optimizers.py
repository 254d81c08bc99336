"""Optimizers from timm's factory."""

import pytest
import torch

from src.config.schema.model import Cnn
from src.config.schema.train import Optimizer
from src.models.build import build_model
from src.training.optimizers import create_optimizer

CNN = Cnn(
    kind="cnn", widths=[4, 8], kernel_size=3, activation="relu", pooling="max", batch_norm=True, dropout=0.0
)


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return build_model(CNN, 1, 10, (8, 8))


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("sgd", "SGD", {"nesterov": True, "momentum": 0.8, "fused": True}),
        ("adam", "Adam", {"fused": True}),
        ("adamw", "AdamW", {"fused": True}),
        ("rmsprop", "RMSprop", {"momentum": 0.8}),
    ],
)
def test_each_is_what_it_says(name, kind, expected):
    optimizer = create_optimizer(
        network(), Optimizer(name=name, lr=0.01, weight_decay=0.1, momentum=0.8, options={})
    )
    assert type(optimizer).__name__ == kind
    for group in optimizer.param_groups:
        assert group["lr"] == 0.01
        assert expected.items() <= group.items()


def test_norms_and_biases_do_not_decay():
    inner = network()
    optimizer = create_optimizer(
        inner, Optimizer(name="adamw", lr=0.01, weight_decay=0.1, momentum=0.9, options={})
    )
    decay = {id(weight): g["weight_decay"] for g in optimizer.param_groups for weight in g["params"]}
    assert len(decay) == len(list(inner.parameters()))
    for weight in inner.parameters():
        assert decay[id(weight)] == (0.1 if weight.ndim > 1 else 0.0)
