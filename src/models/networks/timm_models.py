"""Any model of timm, adapted to the channels, classes and size of the images."""

import difflib
from typing import Any

import timm
import torch
from timm.models import model_entrypoint
from torch import nn

from src.config.schema.model import IMAGENET, Timm
from src.core.errors import AssayError
from src.models.networks.stems import Stem, keep_resolution, new_convolution, wants_small_stem

# Families (modules of timm) that take patches instead of a convolution with a stride first.
PATCHES = {"vision_transformer", "deit"}
MIXERS = {"mlp_mixer"}  # take patches too, but timm fixes their size with the name
# Families whose first convolution can keep the resolution.
STEMS = {
    "resnet": Stem("conv1", "maxpool"),
    "res2net": Stem("conv1", "maxpool"),
    "resnest": Stem("conv1", "maxpool"),
    "resnetv2": Stem("stem.conv", "stem.pool"),
    "regnet": Stem("stem.conv", "stem.pool"),
    "mobilenetv3": Stem("conv_stem", ""),
    "efficientnet": Stem("conv_stem", ""),
    "densenet": Stem("features.conv0", "features.pool0"),
    "convnext": Stem("stem.0", ""),
    "inception_v3": Stem("Conv2d_1a_3x3.conv", "Pool1"),
}


def build_timm_model(model: Timm, channels: int, classes: int, image_size: tuple[int, int]) -> nn.Module:
    """The network of that name; takes (B, channels, H, W), gives logits (B, classes).

    Raises:
        AssayError: the name is unknown, or the family has no small stem and ``model.stem`` asks for it.
    """
    family, small = _family(model.name), wants_small_stem(model, image_size)
    if family in PATCHES | MIXERS and model.stem == "auto" and model.weights == IMAGENET:
        small = False  # the weights are for patches of the published size
    options: dict[str, Any] = {"in_chans": channels, "num_classes": classes, "drop_rate": model.dropout}
    options |= {"drop_path_rate": model.drop_path} if model.drop_path else {}  # which some do not take
    if family in PATCHES | MIXERS:
        options |= {"img_size": image_size}
    if family in MIXERS and small:
        return _mixer_of_small_patches(model, options, image_size)
    if family in PATCHES and small:
        options |= {"patch_size": _patch(image_size)}
    network = _build(model, options)
    if small and family not in PATCHES:
        keep_resolution(network, STEMS.get(family), model, model.weights == IMAGENET)
    return network


def _family(name: str) -> str:
    """The module of timm that defines the model."""
    if not timm.is_model(name):
        close = difflib.get_close_matches(name, timm.list_models(), n=5)
        hint = f"did you mean {', '.join(close)}?" if close else "timm.list_models() names them all"
        raise AssayError(f"model.name={name} is not a model of timm {timm.__version__}: {hint}")
    return str(model_entrypoint(name).__module__).rpartition(".")[2]


def _build(model: Timm, options: dict[str, Any]) -> nn.Module:
    try:
        network: nn.Module = timm.create_model(model.name, pretrained=False, **options)
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        if "drop_path_rate" in str(error):
            raise AssayError(
                f"model.drop_path={model.drop_path:g} is not possible for model.name={model.name}, which has "
                "no branches to drop: set model.drop_path=0"
            ) from error
        raise AssayError(f"model.name={model.name} cannot be built with {options}: {error}") from error
    return network


def _mixer_of_small_patches(model: Timm, options: dict[str, Any], image_size: tuple[int, int]) -> nn.Module:
    """Build it for a larger image with as many patches, then make the patches smaller."""
    with torch.device("meta"):  # without weights: only to ask for the size of its patches
        published: Any = timm.create_model(model.name)
    standard = published.stem.patch_size[0]
    patch = _patch(image_size)
    network = _build(model, options | {"img_size": tuple(side // patch * standard for side in image_size)})
    stem: Any = network.get_submodule("stem")
    stem.proj = new_convolution(stem.proj, kernel_size=patch, stride=patch)
    stem.patch_size = (patch, patch)
    stem.set_input_size(image_size)
    return network


def _patch(image_size: tuple[int, int]) -> int:
    """The largest side of a patch, at most 16, that divides the image and leaves 7 or more along a side.

    Two pixels are enough for a patch of an image that is too small for 7.
    """
    shorter = min(image_size)
    fewest = min(7, shorter // 2)
    fitting = [side for side in range(1, 17) if all(pixels % side == 0 for pixels in image_size)]
    return max((side for side in fitting if shorter // side >= fewest), default=1)
