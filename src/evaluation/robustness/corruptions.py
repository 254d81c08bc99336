"""Common corruptions of images at three severities, for images of any size.

The idea comes from Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions
and Perturbations" (2019): ask a model about test images that were changed in defined ways. docs/robustness.md
says where these ways differ from theirs.

Arithmetic is in float64 or in whole numbers and ends in whole numbers, so that every CPU makes the same
bytes. What is random is drawn from the seed and the id of the image: it does not depend on which other
images there are.
"""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from src.config.schema.evaluate import CorruptionName
from src.core.seeds import derive_seed

Pixels = NDArray[np.uint8]  # (n, C, H, W)
Floats = NDArray[np.float64]
Draws = Iterator[np.random.Generator]  # one for each image

SEVERITIES = (1, 2, 3)
WHITE = 255
SMALLEST = 32  # pixels: in proportion to a shorter side, a blur would change nothing


@dataclass(frozen=True)
class Corruption:
    """A change of images, and its strength at each severity."""

    change: Callable[[Pixels, float, Draws], Pixels]
    strengths: tuple[float, float, float]
    unit: str  # of the strengths


def corrupt(images: Pixels, ids: NDArray[np.int64], name: CorruptionName, severity: int, seed: int) -> Pixels:
    """The images (n, C, H, W) with this corruption, each independently.

    Args:
        images: uint8, of 1 or 3 channels.
        ids: (n,) rows of the image array; an id draws the same at every severity.
        name: of the corruption.
        severity: 1, 2 or 3.
        seed: of the configuration.
    """
    kind = CORRUPTIONS[name]
    draws = (np.random.default_rng(derive_seed(seed, "corruption", name, number)) for number in ids.tolist())
    return kind.change(images, kind.strengths[severity - 1], draws)


def blur(images: Pixels, share: float, _: Draws) -> Pixels:
    """Gaussian blur whose standard deviation is a ``share`` of the shorter side."""
    sigma = share * max(SMALLEST, min(images.shape[2:]))
    return _rounded(ndimage.gaussian_filter(images.astype(np.float64), (0, 0, sigma, sigma), mode="nearest"))


def noise(images: Pixels, std: float, draws: Draws) -> Pixels:
    """Add Gaussian noise to each value."""
    added = np.stack([draw.standard_normal(images.shape[1:]) for draw in draws])
    return _rounded(images + std * WHITE * added)


def brightness(images: Pixels, added: float, _: Draws) -> Pixels:
    """Add the same to all values."""
    return _rounded(images.astype(np.float64) + added * WHITE)


def contrast(images: Pixels, factor: float, _: Draws) -> Pixels:
    """Draw the values towards the mean of their channel in the image."""
    values = images.astype(np.float64)
    mean: Floats = values.mean(axis=(2, 3), keepdims=True)
    return _rounded(mean + factor * (values - mean))


def jpeg(images: Pixels, quality: float, _: Draws) -> Pixels:
    """Compress and decompress, with Pillow's own subsampling of colors."""
    return np.stack([_compressed(image, int(quality)) for image in images])


def rotation(images: Pixels, degrees: float, draws: Draws) -> Pixels:
    """Turn around the center, to the left or to the right; the pixels at the edge fill the corners."""
    angles = [degrees * draw.choice((-1, 1)) for draw in draws]
    return np.stack([_turned(image, angle) for image, angle in zip(images, angles, strict=True)])


def _compressed(image: Pixels, quality: int) -> Pixels:
    file = io.BytesIO()
    Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0)).save(
        file, "jpeg", quality=quality
    )
    pixels = np.asarray(Image.open(file))
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _turned(image: Pixels, angle: float) -> Pixels:
    values = image.astype(np.float64)
    return _rounded(ndimage.rotate(values, angle, axes=(2, 1), reshape=False, order=1, mode="nearest"))


def _rounded(values: Floats) -> Pixels:
    """Halves upwards, because rounding to even ones would merge levels."""
    return np.clip(np.floor(values + 0.5), 0, WHITE).astype(np.uint8)


CORRUPTIONS: dict[CorruptionName, Corruption] = {
    "blur": Corruption(
        blur, (0.0125, 0.018, 0.025), f"standard deviation / shorter side (at least {SMALLEST})"
    ),
    "noise": Corruption(noise, (0.05, 0.1, 0.2), "standard deviation, white = 1"),
    "brightness": Corruption(brightness, (0.1, 0.2, 0.3), "added, white = 1"),
    "contrast": Corruption(contrast, (0.75, 0.5, 0.25), "factor"),
    "jpeg": Corruption(jpeg, (50, 25, 10), "quality"),
    "rotation": Corruption(rotation, (10, 20, 30), "degrees"),
}
