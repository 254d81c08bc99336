"""Random changes of a batch of training images, drawn separately for each image.

All randomness comes from torch's global generators: seed them before each batch and the result depends
on nothing else. Neighboring affine operations (rotate, scale, translate, shear) are combined into one
matrix and one interpolation. Pixels from outside the image are black.

Geometry is computed in float64 and rounded: in float32 the roots and angles of the libraries below torch
differ by CPU in the last bit (docs/portable.md).
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby

import numpy as np
import torch
from kornia.color import hsv_to_rgb, rgb_to_hsv
from torch import Tensor, nn
from torch.nn import functional

from src.config.schema.augment import Operation, Rotate, Scale, Shear, Translate

Change = Callable[[Tensor], Tensor]
Affine = Rotate | Scale | Translate | Shear
LUMA = (0.299, 0.587, 0.114)  # weights of red, green, blue in gray (ITU-R BT.601)
ASPECTS = (0.3, 1 / 0.3)  # of erased rectangles, as in the paper


class Augmentation(nn.Module):
    """The operations of ``augment`` in their order, on float images (B, C, H, W) in 0…1."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        super().__init__()
        self.changes: list[Change] = []
        for affine, group in groupby(operations, key=lambda operation: isinstance(operation, Affine)):
            members = list(group)
            self.changes += [partial(move, operations=members)] if affine else map(_change, members)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        with torch.autocast(images.device.type, enabled=False):
            for change in self.changes:
                images = change(images)
        return images


def _change(operation: Operation) -> Change:
    """The function with the name of the operation, given the operation's fields."""
    return partial(CHANGES[operation.name], **operation.model_dump(exclude={"name"}))


def crop(x: Tensor, padding: int) -> Tensor:
    """Shift each image by up to ``padding`` pixels in both directions."""
    count, _, height, width = x.shape
    padded = functional.pad(x, (padding,) * 4)
    offsets = torch.randint(0, 2 * padding + 1, (2, count, 1), device=x.device)
    rows = offsets[0] + torch.arange(height, device=x.device)  # (B, H)
    columns = offsets[1] + torch.arange(width, device=x.device)  # (B, W)
    image = torch.arange(count, device=x.device)[:, None, None]
    moved = padded.permute(0, 2, 3, 1)[image, rows[:, :, None], columns[:, None, :]]  # (B, H, W, C)
    return moved.permute(0, 3, 1, 2)


def flip(x: Tensor, axis: str, p: float) -> Tensor:
    """Mirror images with probability ``p``: left and right, or up and down."""
    return torch.where(_chosen(x, p), x.flip(-1 if axis == "horizontal" else -2), x)


def erase(x: Tensor, p: float, area: float) -> Tensor:
    """Random erasing (Zhong et al., 2020): a rectangle of up to ``area`` of the image becomes noise."""
    count, _, height, width = x.shape
    share = torch.rand(count, device=x.device) * area * height * width  # pixels
    low, high = (math.log(ratio) for ratio in ASPECTS)
    aspect = _in_double("exp", torch.rand(count, device=x.device) * (high - low) + low)
    rows = _inside(_in_double("sqrt", share * aspect), height)  # (B, H)
    columns = _inside(_in_double("sqrt", share / aspect), width)  # (B, W)
    hidden = (rows[:, :, None] & columns[:, None, :])[:, None] & _chosen(x, p)  # (B, 1, H, W)
    return torch.where(hidden, torch.rand_like(x), x)


def brightness(x: Tensor, strength: float) -> Tensor:
    """Multiply each image by a factor in 1 ± strength."""
    return (x * _factor(x, strength)).clamp(0, 1)


def contrast(x: Tensor, strength: float) -> Tensor:
    """Stretch each image around its mean gray by a factor in 1 ± strength."""
    mean = _gray(x).mean(dim=(1, 2, 3), keepdim=True)
    return (mean + (x - mean) * _factor(x, strength)).clamp(0, 1)


def saturation(x: Tensor, strength: float) -> Tensor:
    """Stretch each pixel's distance from its own gray by a factor in 1 ± strength."""
    gray = _gray(x)
    return (gray + (x - gray) * _factor(x, strength)).clamp(0, 1)


def hue(x: Tensor, strength: float) -> Tensor:
    """Turn each image's colors by up to ``strength`` of the color circle either way."""
    turn = (_uniform(x) * 2 - 1) * strength * 2 * math.pi
    colors = rgb_to_hsv(x)  # angle in radians, saturation, value
    turned = (colors[:, :1] + turn) % (2 * math.pi)
    return hsv_to_rgb(torch.cat([turned, colors[:, 1:]], dim=1)).clamp(0, 1)


def noise(x: Tensor, std: float, p: float) -> Tensor:
    """Add Gaussian noise to images with probability ``p``."""
    return torch.where(_chosen(x, p), (x + torch.randn_like(x) * std).clamp(0, 1), x)


def blur(x: Tensor, sigma: float, p: float) -> Tensor:
    """Gaussian blur of up to ``sigma`` pixels, for images with probability ``p``."""
    count, channels, height, width = x.shape
    radius = min(math.ceil(3 * sigma), height - 1, width - 1)  # reflection needs more pixels than the radius
    if radius == 0:
        return x
    steps = torch.arange(-radius, radius + 1, device=x.device)
    widths = (_uniform(x) * sigma).clamp(min=1e-3)[:, 0]  # (B, 1, 1)
    kernel = _in_double("exp", -0.5 * (steps / widths[:, 0]) ** 2)  # (B, 2r + 1)
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(channels, dim=0)
    padded = functional.pad(x, (radius,) * 4, mode="reflect")
    flat = padded.reshape(1, count * channels, *padded.shape[2:])  # one group an image and channel
    flat = functional.conv2d(flat, kernel[:, None, :, None], groups=count * channels)
    flat = functional.conv2d(flat, kernel[:, None, None, :], groups=count * channels)
    return torch.where(_chosen(x, p), flat.view(x.shape).clamp(0, 1), x)


def move(x: Tensor, operations: Sequence[Operation]) -> Tensor:
    """Rotate, scale, translate and shear: one matrix per image and one bilinear interpolation."""
    height, width = x.shape[-2:]
    # Maps a pixel of the result to its source: the inverse of A_n … A_1 is inverse(A_1) … inverse(A_n).
    source = torch.eye(3, device=x.device, dtype=torch.float64).expand(len(x), 3, 3)
    for operation in operations:
        source = source @ _inverse(operation, x)
    # affine_grid counts in half sides, the matrices in pixels.
    sides = torch.tensor([width / 2, height / 2, 1.0], device=x.device, dtype=torch.float64)
    theta = (source * sides / sides[:, None])[:, :2]  # (B, 2, 3)
    grid = functional.affine_grid(theta, list(x.shape), align_corners=False)
    return functional.grid_sample(x.double(), grid, align_corners=False).float().clamp(0, 1)


def _inverse(operation: Operation, x: Tensor) -> Tensor:
    """The inverse (B, 3, 3), float64, of one random draw of the operation, in pixels from the center."""
    count = len(x)
    matrix = torch.eye(3, device=x.device, dtype=torch.float64).repeat(count, 1, 1)
    match operation:
        case Rotate():
            angle = _either_way(count, x) * math.radians(operation.degrees)
            cos, sin = _in_double("cos", angle), _in_double("sin", angle)
            matrix[:, 0, 0] = matrix[:, 1, 1] = cos
            matrix[:, 0, 1], matrix[:, 1, 0] = sin, -sin
        case Scale():
            factor = operation.low + torch.rand(count, device=x.device) * (operation.high - operation.low)
            matrix[:, 0, 0] = matrix[:, 1, 1] = 1 / factor
        case Translate():
            for axis, side in enumerate((x.shape[-1], x.shape[-2])):
                matrix[:, axis, 2] = _either_way(count, x) * operation.fraction * side
        case Shear():
            matrix[:, 0, 1] = _in_double("tan", _either_way(count, x) * math.radians(operation.degrees))
    return matrix


def _in_double(function: str, values: Tensor) -> Tensor:
    """sqrt, exp, … in float64, rounded to float32; on CPUs NumPy's: torch's differ by the CPU's maker."""
    if values.device.type != "cpu":
        return torch.Tensor(getattr(torch, function)(values.double()).float())
    return torch.from_numpy(getattr(np, function)(values.double().numpy())).float()


def _either_way(count: int, x: Tensor) -> Tensor:
    """Uniform in -1…1, one per image."""
    return torch.rand(count, device=x.device) * 2 - 1


def _uniform(x: Tensor) -> Tensor:
    """Uniform in 0…1, one per image: (B, 1, 1, 1)."""
    return torch.rand(len(x), 1, 1, 1, device=x.device)


def _chosen(x: Tensor, p: float) -> Tensor:
    """True with probability ``p``, one per image: (B, 1, 1, 1)."""
    return _uniform(x) < p


def _factor(x: Tensor, strength: float) -> Tensor:
    return 1 + (_uniform(x) * 2 - 1) * strength


def _gray(x: Tensor) -> Tensor:
    """(B, 1, H, W)."""
    if x.shape[1] == 1:
        return x
    weights = torch.tensor(LUMA, device=x.device).view(1, 3, 1, 1)
    return (x * weights).sum(1, keepdim=True)


def _inside(length: Tensor, side: int) -> Tensor:
    """A mask (B, side) that is True for ``length`` (B,) pixels in a row, at a random position."""
    length = length.round().clamp(max=side)
    start = (torch.rand(len(length), device=length.device) * (side - length + 1)).floor()
    places = torch.arange(side, device=length.device)
    return (places >= start[:, None]) & (places < (start + length)[:, None])


CHANGES: dict[str, Callable[..., Tensor]] = {
    "crop": crop,
    "flip": flip,
    "erase": erase,
    "brightness": brightness,
    "contrast": contrast,
    "saturation": saturation,
    "hue": hue,
    "noise": noise,
    "blur": blur,
}
