"""From section ``model`` of the configuration to a network.

A new kind of model is a class in ``src/config/schema/model.py``, a module in ``networks``, a line in
``CREATE`` and a file in ``conf/model/``.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy

import torch
from torch import nn

from src.config.schema.model import (
    Backbone,
    Cnn,
    FeatureModel,
    Lenet,
    Mlp,
    ModelConfig,
    PlainCnn,
    Rnn,
    Torchvision,
)
from src.core.errors import AssayError
from src.models.networks.cnn import create_cnn
from src.models.networks.lenet import create_lenet
from src.models.networks.mlp import create_mlp
from src.models.networks.plain_cnn import create_plain_cnn
from src.models.networks.rnn import create_rnn
from src.models.strides import shorten_strides

CREATE: dict[type[ModelConfig], Callable[..., nn.Module]] = {
    Cnn: create_cnn,
    PlainCnn: create_plain_cnn,
    Mlp: create_mlp,
    Rnn: create_rnn,
    Lenet: create_lenet,
}


def build_model(model: ModelConfig, channels: int, classes: int, image_size: Sequence[int]) -> nn.Module:
    """Build a network that takes normalized images (B, channels, H, W) and gives logits (B, classes).

    Weights are drawn from torch's global generator: seed it first.

    Raises:
        AssayError: the model does not exist, or cannot take such images.
    """
    height, width = image_size
    network = _create(model, channels, classes, (height, width))
    _refuse_mismatch(model, network, channels, classes, (height, width))
    shorten_strides(network, channels, (height, width))
    _name_stages(network)
    return network


def _name_stages(network: nn.Module) -> None:
    """Give our own network what timm's have: patterns that tell its stages apart, from the input on."""
    if not hasattr(network, "group_matcher"):
        patterns = {name: rf"^{name}\." for name, _ in network.named_children()}
        network.group_matcher = lambda coarse=False: patterns  # type: ignore[assignment]  # noqa: ARG005


def refuse_single_images(network: nn.Module, image: Sequence[int]) -> None:
    """Run a batch of one black image (C, H, W) through a copy of the network, as training would.

    Raises:
        AssayError: a batch norm is left with one value per channel, which has no variance.
    """
    try:
        with torch.no_grad():
            deepcopy(network).train()(torch.zeros(1, *image))
    except ValueError as error:
        raise AssayError(
            f"train.batch_size=1 leaves a batch norm of this model with one value per channel ({error}): set "
            "train.batch_size to at least 2, or choose larger images or another model"
        ) from error


def smallest_side(network: nn.Module, channels: int, above: int = 0, below: int = 257) -> int | None:
    """Side in pixels of the smallest square image that the network takes; None if it takes none in range."""
    for side in range(above + 1, below):
        if _fault(network, channels, (side, side)) is None:
            return side
    return None


def _create(model: ModelConfig, channels: int, classes: int, image_size: tuple[int, int]) -> nn.Module:
    create = CREATE[type(model)] if type(model) in CREATE else _from_library(model)
    return create(model, channels, classes, image_size)


def _from_library(model: ModelConfig) -> Callable[..., nn.Module]:
    """Both libraries take a second to import, and few runs need them."""
    if isinstance(model, Torchvision):
        from src.models.networks.torchvision_models import build_torchvision_model

        return build_torchvision_model
    if isinstance(model, FeatureModel):
        from src.models.networks.feature_heads import build_feature_model

        return build_feature_model
    from src.models.networks.timm_models import build_timm_model

    return build_timm_model


def _refuse_mismatch(
    model: ModelConfig, network: nn.Module, channels: int, classes: int, image_size: tuple[int, int]
) -> None:
    """Run one black image, so that a mismatch is found here and not in the first batch."""
    name = model.name if isinstance(model, Backbone | Torchvision) else model.kind
    fault = _fault(network, channels, image_size)
    if fault is not None:
        least = smallest_side(network, channels, above=min(image_size))
        fix = f"set data.image_size=[{least}, {least}] or larger" if least else "choose larger images"
        raise AssayError(
            f"model {name} cannot take images of data.image_size={list(image_size)} ({fault}): "
            f"{fix}, or choose another model"
        )
    with torch.inference_mode():
        shape = tuple(network.eval()(torch.zeros(1, channels, *image_size)).shape)
    network.train()
    if shape != (1, classes):
        raise AssayError(
            f"model {name} gives {shape} for one image instead of {(1, classes)}: choose another model"
        )


def _fault(network: nn.Module, channels: int, image_size: tuple[int, int]) -> str | None:
    """Why the network cannot take an image of that size; None if it can."""
    try:
        with torch.inference_mode():
            network.eval()(torch.zeros(1, channels, *image_size))
    except (RuntimeError, AssertionError, ValueError, ZeroDivisionError) as error:
        return str(error)
    return None
