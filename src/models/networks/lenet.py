"""LeNet-5 (LeCun et al., "Gradient-based learning applied to document recognition", 1998)."""

from torch import nn

from src.config.schema.model import Lenet
from src.core.errors import AssayError
from src.models.networks.activations import ACTIVATIONS


def create_lenet(model: Lenet, channels: int, classes: int, image_size: tuple[int, int]) -> nn.Sequential:
    """Two 5×5 convolutions with average pooling, then 120, 84 and ``classes`` units.

    Takes (B, channels, H, W), gives logits (B, classes). The second convolution is unpadded as in the
    paper if the image has 12 pixels or more a side, and padded if it is smaller.

    Raises:
        AssayError: the image has fewer than 4 pixels a side.
    """
    if min(image_size) < 4:
        raise AssayError(
            f"model=lenet needs images of at least 4 pixels a side, but data.image_size={list(image_size)}: "
            "use larger images or model=cnn with one width"
        )
    padding = 0 if min(image_size) >= 12 else 2
    height, width = ((side // 2 + 2 * padding - 4) // 2 for side in image_size)

    def activation() -> nn.Module:
        return ACTIVATIONS[model.activation]()

    return nn.Sequential(
        *(nn.Conv2d(channels, 6, 5, padding=2), activation(), nn.AvgPool2d(2)),
        *(nn.Conv2d(6, 16, 5, padding=padding), activation(), nn.AvgPool2d(2)),
        *(nn.Flatten(), nn.Linear(16 * height * width, 120), activation()),
        *(nn.Linear(120, 84), activation()),
        *(nn.Dropout(model.dropout), nn.Linear(84, classes)),
    )
