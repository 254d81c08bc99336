"""The textbook CNN, with configurable sizes."""

from torch import nn

from src.config.schema.model import PlainCnn
from src.core.errors import AssayError
from src.models.networks.activations import ACTIVATIONS

POOLINGS: dict[str, type[nn.Module]] = {"max": nn.MaxPool2d, "avg": nn.AvgPool2d}


def create_plain_cnn(
    model: PlainCnn, channels: int, classes: int, image_size: tuple[int, int]
) -> nn.Sequential:
    """One block for each width, then fully connected layers with ``hidden`` and ``classes`` units.

    Takes (B, channels, H, W), gives logits (B, classes).

    Raises:
        AssayError: nothing is left of the image after some block.
    """
    height, width = (_side_after_blocks(model, side, image_size) for side in image_size)
    blocks = [
        layer
        for before, after in zip([channels, *model.widths], model.widths, strict=False)
        for layer in _block(model, before, after)
    ]
    units = [model.widths[-1] * height * width, *model.hidden]
    hidden = [
        layer
        for before, after in zip(units, model.hidden, strict=False)
        for layer in (nn.Dropout(model.dropout), nn.Linear(before, after), ACTIVATIONS[model.activation]())
    ]
    return nn.Sequential(
        *blocks, nn.Flatten(), *hidden, nn.Dropout(model.dropout), nn.Linear(units[-1], classes)
    )


def _block(model: PlainCnn, before: int, after: int) -> list[nn.Module]:
    # A norm has a shift of its own, so a bias before it would do nothing.
    convolution = nn.Conv2d(
        before, after, model.kernel_size, model.stride, model.padding, bias=not model.batch_norm
    )
    return [
        convolution,
        *([nn.BatchNorm2d(after)] if model.batch_norm else []),
        ACTIVATIONS[model.activation](),
        *([] if model.pooling == "none" else [POOLINGS[model.pooling](2)]),
    ]


def _side_after_blocks(model: PlainCnn, side: int, image_size: tuple[int, int]) -> int:
    for block in range(1, len(model.widths) + 1):
        side = (side + 2 * model.padding - model.kernel_size) // model.stride + 1
        side = side if model.pooling == "none" else side // 2
        if side < 1:
            raise AssayError(
                f"model.widths has {len(model.widths)} blocks, but nothing is left of "
                f"data.image_size={list(image_size)} after block {block}: use fewer widths, more padding, "
                "a smaller kernel or stride, or larger images"
            )
    return side
