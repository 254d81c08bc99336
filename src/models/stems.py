"""The first layers of networks that were made for 224 pixels, adapted to images of 64 or fewer."""

from typing import NamedTuple

from torch import nn

from src.config.schema.model import Timm, Torchvision
from src.core.errors import AssayError

SMALL = 64  # pixels a side at most
ARGUMENTS = ("in_channels", "out_channels", "kernel_size", "stride", "padding")  # of a first convolution


class Stem(NamedTuple):
    """Where a network reduces the resolution first, by names within the network."""

    convolution: str
    pool: str  # a max pooling that follows, or ""; some networks of a family lack it


def has_small_stem(model: Timm | Torchvision, image_size: tuple[int, int], possible: bool) -> bool:
    """Whether a network keeps the resolution in its stem.

    Raises:
        AssayError: ``model.stem=small``, and the network has no such stem.
    """
    if model.stem == "small" and not possible:
        raise AssayError(
            f"model.stem=small is not possible for model.name={model.name}: set model.stem=auto or standard, "
            "or choose another model, such as resnet18"
        )
    return possible and (model.stem == "small" or (model.stem == "auto" and max(image_size) <= SMALL))


def keep_resolution(network: nn.Module, stem: Stem, pretrained: bool = False) -> None:
    """First convolution 3×3 at stride 1 and no pooling after it (He et al., 2016, on CIFAR-10).

    A pretrained convolution keeps its weights, and so its size.
    """
    path = _first_convolution(network, stem.convolution)
    found = network.get_submodule(path)
    assert isinstance(found, nn.Conv2d)
    if pretrained or found.kernel_size == (3, 3):
        found.stride, found.padding = (1, 1), (found.kernel_size[0] // 2, found.kernel_size[1] // 2)
    else:
        network.set_submodule(path, new_convolution(found, kernel_size=3, stride=1, padding=1))
    if stem.pool and stem.pool in dict(network.named_modules()):
        network.set_submodule(stem.pool, nn.Identity())


def take_channels(network: nn.Module, stem: Stem, channels: int) -> None:
    """Replace the first convolution by one for images of that many channels, if it is for others."""
    path = _first_convolution(network, stem.convolution)
    found = network.get_submodule(path)
    assert isinstance(found, nn.Conv2d)
    if found.in_channels != channels:
        network.set_submodule(path, new_convolution(found, in_channels=channels))


def new_convolution(like: nn.Conv2d, **changes: int) -> nn.Conv2d:
    """An untrained convolution that differs in these arguments only."""
    arguments = {name: getattr(like, name) for name in ARGUMENTS} | changes
    return nn.Conv2d(**arguments, bias=like.bias is not None)


def _first_convolution(network: nn.Module, name: str) -> str:
    """Its name; in a deep stem, which is a sequence, the first has the stride."""
    return f"{name}.0" if isinstance(network.get_submodule(name), nn.Sequential) else name
