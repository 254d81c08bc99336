"""From section ``model`` of the configuration to a network.

A new kind of model is a class in ``src/config/schema/model.py``, a module beside this one, a line in
``_create`` and a file in ``conf/model/``.
"""

from collections.abc import Sequence

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
    return network


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
