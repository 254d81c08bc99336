"""A multilayer perceptron: a baseline that does not know which pixels are neighbors."""

from math import prod

from torch import nn

from src.config.schema.model import Mlp
from src.models.networks.activations import ACTIVATIONS


def create_mlp(model: Mlp, channels: int, classes: int, image_size: tuple[int, int]) -> nn.Sequential:
    """Takes (B, channels, H, W), gives logits (B, classes)."""
    units = [channels * prod(image_size), *model.hidden]
    hidden = [
        layer
        for before, after in zip(units, model.hidden, strict=False)
        for layer in (nn.Linear(before, after), ACTIVATIONS[model.activation](), nn.Dropout(model.dropout))
    ]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(units[-1], classes))
