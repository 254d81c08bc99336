"""Strides that are no longer than the map: with longer ones torch's gradient in bf16 is wrong on CPUs.

Where a network made for large images sees small ones, its last strided convolutions have a map of one
pixel. A 3×3 kernel with padding 1 and stride 2 looks at its first position only, and so it does with
stride 1. But in bf16 the gradient of its weights differs: where the stride is longer than the map, oneDNN
(torch 2.13) does not write what belongs to the padding, and whatever was in memory trains the network: to
other weights each time, or to NaN.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

ENOUGH = 64  # pixels a side from which no map is that small: networks divide by 32


def shorten_strides(network: nn.Module, channels: int, image_size: Sequence[int]) -> None:
    """Shorten the stride of each convolution to the map that it sees, where its kernel has only one place.

    Where it has more, the padding becomes part of the map. No output changes.

    Args:
        network: That takes images (B, channels, *image_size); left in training mode.
        channels: Of an image.
        image_size: Height and width in pixels.
    """
    if min(image_size) >= ENOUGH:
        return
    for convolution, size in _map_sizes(network, channels, image_size).items():
        axes = list(zip(size, convolution.stride, _reach(convolution, size), strict=True))
        convolution.stride = tuple(_shorten(*axis) for axis in axes)
        if any(stride > pixels for pixels, stride in zip(size, convolution.stride, strict=True)):
            # Zeros, as before, but added to the map beforehand
            convolution.padding_mode = "constant"  # type: ignore[assignment]


def _map_sizes(
    network: nn.Module, channels: int, image_size: Sequence[int]
) -> dict[nn.Conv2d, tuple[int, ...]]:
    """Height and width of the largest map that each convolution is given."""
    found: dict[nn.Conv2d, tuple[int, ...]] = {}

    def note(module: nn.Conv2d, inputs: tuple[Tensor, ...]) -> None:
        size = inputs[0].shape[2:]
        found[module] = tuple(map(max, size, found.get(module, size)))

    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    hooks = [module.register_forward_pre_hook(note) for module in convolutions]
    with torch.inference_mode():
        network.eval()(torch.zeros(1, channels, *image_size))
    network.train()
    for hook in hooks:
        hook.remove()
    return found


def _reach(convolution: nn.Conv2d, size: Sequence[int]) -> list[int]:
    """How many pixels the kernel can move along each axis of the padded map."""
    padding = (0, 0) if isinstance(convolution.padding, str) else convolution.padding
    axes = zip(size, padding, convolution.dilation, convolution.kernel_size, strict=True)
    return [pixels + 2 * pad - dilation * (kernel - 1) - 1 for pixels, pad, dilation, kernel in axes]


def _shorten(pixels: int, stride: int, reach: int) -> int:
    """A kernel with only one place needs no stride longer than the map."""
    return pixels if reach < pixels < stride else stride
