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


def wants_small_stem(model: Timm | Torchvision, image_size: tuple[int, int]) -> bool:
    """Whether the network should keep the resolution in its stem, if it can."""
    return model.stem == "small" or (model.stem == "auto" and max(image_size) <= SMALL)


def keep_resolution(
    network: nn.Module, stem: Stem | None, model: Timm | Torchvision, pretrained: bool = False
) -> None:
    """First convolution 3×3 at stride 1 and no pooling after it (He et al., 2016, on CIFAR-10).

    A pretrained convolution keeps its weights, and so its size. With ``model.stem=auto`` a network without
    such a stem is left as it is.

    Raises:
        AssayError: ``model.stem=small``, and the network has no such stem.
    """
    path = _first_convolution(network, stem)
    if path is None:
        _refuse_small(model)
        return
    found = _convolution(network, path)
    if pretrained or found.kernel_size == (3, 3):
        found.stride, found.padding = (1, 1), (found.kernel_size[0] // 2, found.kernel_size[1] // 2)
    else:
        network.set_submodule(path, new_convolution(found, kernel_size=3, stride=1, padding=1))
    if stem and stem.pool in _names(network):
        network.set_submodule(stem.pool, nn.Identity())


def take_channels(network: nn.Module, stem: Stem, channels: int) -> None:
    """Replace the first convolution by one for images of that many channels, if it is for others."""
    path = _first_convolution(network, stem)
    assert path is not None
    found = _convolution(network, path)
    if found.in_channels != channels:
        network.set_submodule(path, new_convolution(found, in_channels=channels))


def new_convolution(like: nn.Conv2d, **changes: int) -> nn.Conv2d:
    """An untrained convolution that differs in these arguments only."""
    arguments = {name: getattr(like, name) for name in ARGUMENTS} | changes
    return nn.Conv2d(**arguments, bias=like.bias is not None)


def _first_convolution(network: nn.Module, stem: Stem | None) -> str | None:
    """Its name; in a deep stem, which is a sequence, the first has the stride. None: there is none."""
    names = [] if stem is None else [stem.convolution, f"{stem.convolution}.0"]
    known = _names(network)
    return next((name for name in names if isinstance(known.get(name), nn.Conv2d)), None)


def _names(network: nn.Module) -> dict[str, nn.Module]:
    """All parts by name, without the network itself, whose name is empty."""
    return {name: part for name, part in network.named_modules() if name}


def _convolution(network: nn.Module, path: str) -> nn.Conv2d:
    found = network.get_submodule(path)
    assert isinstance(found, nn.Conv2d)
    return found


def _refuse_small(model: Timm | Torchvision) -> None:
    if model.stem == "small":
        raise AssayError(
            f"model.stem=small is not possible for model.name={model.name}: set model.stem=auto or standard, "
            "or choose another model, such as resnet18"
        )
