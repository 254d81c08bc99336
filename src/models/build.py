"""From section ``model`` of the configuration to a network.

A new kind of model is a class in ``src/config/schema/model.py``, a module beside this one, a line in
``_create`` and a file in ``conf/model/``.
"""

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import nn

from src.config.schema.model import Cnn, Lenet, ModelConfig, Timm
from src.core.errors import AssayError
from src.models.cnn import create_cnn
from src.models.lenet import create_lenet


def build_model(model: ModelConfig, channels: int, classes: int, image_size: Sequence[int]) -> nn.Module:
    """Build a network that takes normalized images (B, channels, H, W) and gives logits (B, classes).

    Weights are drawn from torch's global generator: seed it first.

    Raises:
        AssayError: the model does not exist, or cannot take such images.
    """
    height, width = image_size
    network = _create(model, channels, classes, (height, width))
    _refuse_mismatch(model, network, channels, classes, (height, width))
    _name_stages(network)
    return network


def _name_stages(network: nn.Module) -> None:
    """Give a network of ours what timm's have: patterns that tell its stages apart, from the input on."""
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


def _create(model: ModelConfig, channels: int, classes: int, image_size: tuple[int, int]) -> nn.Module:
    if isinstance(model, Cnn):
        return create_cnn(model, channels, classes, image_size)
    if isinstance(model, Lenet):
        return create_lenet(model, channels, classes, image_size)
    from src.models.timm_models import build_timm_model  # takes a second, and few runs need it

    return build_timm_model(model, channels, classes, image_size)


def _refuse_mismatch(
    model: ModelConfig, network: nn.Module, channels: int, classes: int, image_size: tuple[int, int]
) -> None:
    """Run one black image, so that a mismatch is found here and not in the first batch."""
    name = model.name if isinstance(model, Timm) else model.kind
    network.eval()
    try:
        with torch.inference_mode():
            shape = tuple(network(torch.zeros(1, channels, *image_size)).shape)
    except (RuntimeError, AssertionError, ValueError, ZeroDivisionError) as error:
        raise AssayError(
            f"model {name} cannot take images of data.image_size={list(image_size)} ({error}): "
            "choose larger images or another model"
        ) from error
    network.train()
    if shape != (1, classes):
        raise AssayError(
            f"model {name} gives {shape} for one image instead of {(1, classes)}: choose another model"
        )
