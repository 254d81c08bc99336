"""Networks of torchvision that timm does not have, adapted to the images and classes at hand."""

from typing import Any

from torch import nn
from torchvision import models

from src.config.schema.model import Torchvision
from src.models.networks.stems import Stem, keep_resolution, take_channels, wants_small_stem

# By the first part of the name: AlexNet (Krizhevsky, 2014), GoogLeNet (Szegedy et al., 2015), SqueezeNet
# (Iandola et al., 2016), ShuffleNet V2 (Ma et al., 2018).
STEMS = {
    "alexnet": Stem("features.0", "features.2"),
    "googlenet": Stem("conv1.conv", "maxpool1"),
    "squeezenet1": Stem("features.0", "features.2"),
    "shufflenet": Stem("conv1.0", "maxpool"),
}
# torch's own initialization suits batch norm; torchvision warns that its own takes long.
OPTIONS: dict[str, dict[str, Any]] = {"googlenet": {"aux_logits": False, "init_weights": False}}


def build_torchvision_model(
    model: Torchvision, channels: int, classes: int, image_size: tuple[int, int]
) -> nn.Module:
    """The network of that name, without auxiliary classifiers.

    Takes (B, channels, H, W), gives logits (B, classes).
    """
    family = model.name.split("_")[0]
    options = {**OPTIONS.get(family, {}), "num_classes": classes}
    if family != "shufflenet":
        options["dropout"] = model.dropout
    network: nn.Module = getattr(models, model.name)(**options)
    if family == "shufflenet":  # as published without dropout
        network.fc = nn.Sequential(nn.Dropout(model.dropout), network.get_submodule("fc"))
    take_channels(network, STEMS[family], channels)
    if wants_small_stem(model, image_size):
        keep_resolution(network, STEMS[family], model)
    return network
