"""Any model of timm, adapted to the channels, classes and size of the images."""

import difflib
from typing import Any

import timm
from timm.models import model_entrypoint
from torch import nn

from src.config.schema.model import Timm
from src.core.errors import AssayError

# Families (modules of timm) that take patches instead of a convolution with a stride first.
PATCHES = {"vision_transformer", "deit"}
# Families whose first convolution can keep the resolution, by its name in the network.
STEMS = {
    "resnet": "conv1",
    "res2net": "conv1",
    "resnest": "conv1",
    "resnetv2": "stem.conv",
    "regnet": "stem.conv",
    "mobilenetv3": "conv_stem",
    "efficientnet": "conv_stem",
    "densenet": "features.conv0",
}
POOLS = ("maxpool", "stem.pool", "features.pool0")


def build_timm_model(model: Timm, channels: int, classes: int, image_size: tuple[int, int]) -> nn.Module:
    """The network of that name; takes (B, channels, H, W), gives logits (B, classes).

    Raises:
        AssayError: the name is unknown, the pretrained weights are not available, or ``small_input`` is
            set for a family whose stem cannot keep the resolution.
    """
    family = _family(model.name)
    small = model.small_input
    if small and family not in PATCHES | STEMS.keys():
        raise AssayError(
            f"model.small_input=true is not possible for model.name={model.name} (family {family}); it is "
            f"for {', '.join(sorted(PATCHES | STEMS.keys()))}: choose one of these or model.small_input=false"
        )
    options: dict[str, Any] = {"in_chans": channels, "num_classes": classes, "drop_rate": model.dropout}
    options |= {"drop_path_rate": model.drop_path} if model.drop_path else {}  # which some do not take
    if family in PATCHES:
        options |= {"img_size": image_size}
        options |= {"patch_size": _patch(image_size)} if small else {}
    network = _create(model, options)
    if small and family in STEMS:
        _keep_resolution(network, STEMS[family], model.pretrained)
    return network


def _family(name: str) -> str:
    """The module of timm that defines the model."""
    if not timm.is_model(name):
        close = difflib.get_close_matches(name, timm.list_models(), n=5)
        hint = f"did you mean {', '.join(close)}?" if close else "timm.list_models() names them all"
        raise AssayError(f"model.name={name} is not a model of timm {timm.__version__}: {hint}")
    return str(model_entrypoint(name).__module__).rpartition(".")[2]


def _create(model: Timm, options: dict[str, Any]) -> nn.Module:
    if not model.pretrained:
        return _build(model, options)
    try:
        network: nn.Module = timm.create_model(model.name, pretrained=True, **options)
    except Exception as error:  # the hub, the network and timm raise a dozen unrelated classes
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise AssayError(
            f"model.pretrained=true: the weights of {model.name} are not available ({first}): download them "
            "once with network access, or set model.pretrained=false"
        ) from error
    return network


def _build(model: Timm, options: dict[str, Any]) -> nn.Module:
    try:
        network: nn.Module = timm.create_model(model.name, pretrained=False, **options)
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        raise AssayError(f"model.name={model.name} cannot be built with {options}: {error}") from error
    return network


def _patch(image_size: tuple[int, int]) -> int:
    """The largest side of a patch, at most 16, that divides the image and leaves 7 or more along a side."""
    shorter = min(image_size)
    fitting = [side for side in range(1, 17) if all(pixels % side == 0 for pixels in image_size)]
    return max((side for side in fitting if shorter // side >= 7), default=1)


def _keep_resolution(network: nn.Module, stem: str, pretrained: bool) -> None:
    """First convolution at stride 1 and no pooling after it."""
    parent_name, _, name = stem.rpartition(".")
    parent = network.get_submodule(parent_name)
    found = getattr(parent, name)
    if isinstance(found, nn.Sequential):  # a deep stem: its first convolution has the stride
        parent, name, found = found, "0", found[0]
    found.stride = (1, 1)
    if found.kernel_size == (7, 7) and not pretrained:  # sized for 224 pixels; 3×3 as for CIFAR
        setattr(parent, name, _three_by_three(found))
    for pool in POOLS:
        if pool in dict(network.named_modules()):
            holder, _, last = pool.rpartition(".")
            setattr(network.get_submodule(holder), last, nn.Identity())


def _three_by_three(stem: nn.Conv2d) -> nn.Conv2d:
    return nn.Conv2d(stem.in_channels, stem.out_channels, 3, 1, padding=1, bias=stem.bias is not None)
