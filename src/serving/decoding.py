"""One image file, safely, to one array of a fixed shape.

``ingest`` decodes with this file, and a copy of it travels with every registered model. It imports nothing
of this repository and changes no setting of the process.
"""

import errno
import struct
from dataclasses import dataclass, replace
from typing import BinaryIO, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import jpeg_factory
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

ResizeMode = Literal["pad", "crop", "stretch"]
PadMode = Literal["black", "white", "edge", "mean"]
Pixels = npt.NDArray[np.uint8]

# Every format is a parser that reads untrusted bytes: no more of them than necessary.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
NOT_AN_IMAGE = f"it is not a readable image in one of the formats {', '.join(FORMATS)}"
REDUCIBLE = ("JPEG", "MPO")  # can be decoded at a fraction of their size; MPO is a JPEG with a preview
# Averages over the source when shrinking and never overshoots: no new extremes, no ringing.
RESAMPLING = Image.Resampling.BILINEAR
ORIENTATION = 0x0112  # the EXIF tag
SWAPPED = 5  # orientations from here on swap width and height
TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
MACHINE_ERRORS = (errno.EIO, errno.ENOMEM, errno.ESTALE)  # not the fault of the file's content


class UnreadableImageError(Exception):
    """The image cannot be used. The message says why, without the name of the file."""


@dataclass(frozen=True)
class ImageFormat:
    """The format that every image is converted to.

    Attributes:
        height: pixels.
        width: pixels.
        channels: 1 (gray) or 3 (RGB).
        resize_mode: how an image with another aspect ratio is resized: ``pad``, ``crop`` to the centre, or
            ``stretch``.
        max_pixels: larger images are refused before they are decoded.
        pad: what ``pad`` adds: ``black``, ``white``, the pixels at the ``edge`` repeated, or the ``mean`` of
            the image.
    """

    height: int
    width: int
    channels: int
    resize_mode: ResizeMode
    max_pixels: int
    pad: PadMode = "black"  # what models did whose model.json does not name it


@dataclass(frozen=True)
class Decoded:
    """``pixels`` is uint8 (C, H, W); ``width`` and ``height`` are the size of the upright original."""

    pixels: Pixels
    width: int
    height: int


def decode(file: BinaryIO, image_format: ImageFormat) -> Decoded:
    """Decode an open file. The result is a pure function of its bytes and ``image_format``.

    Raises:
        UnreadableImageError: the content is not an image that can be used.
        OSError: the file cannot be read.
    """
    try:
        return _decode(file, image_format)
    except (UnreadableImageError, MemoryError):
        raise
    except Exception as error:  # parsers raise nearly every kind of error on a broken file
        if isinstance(error, OSError) and error.errno in MACHINE_ERRORS:
            raise
        raise UnreadableImageError(_reason(error)) from error


def fit_image(
    image: Image.Image,
    image_format: ImageFormat,
    extent: tuple[float, float] | None = None,
    orientation: int = 1,
) -> Pixels:
    """Convert an image of any mode and size to ``image_format``.

    Transparent parts become white before anything is padded, so ``edge`` and ``mean`` continue what is seen.

    Args:
        image: a loaded image.
        image_format: the format to convert to.
        extent: width and height of the part to use, from the upper left corner; None: all of it.
        orientation: EXIF orientation of ``image``, 1 to 8.

    Returns:
        uint8 (C, H, W).
    """
    image = _to_channels(image, image_format.channels)
    width, height = extent or image.size
    upright = image_format
    if orientation >= SWAPPED:
        image_format = replace(upright, width=upright.height, height=upright.width)
    if image_format.resize_mode == "crop":
        size, box = (image_format.width, image_format.height), _centre(width, height, image_format)
    else:
        size, box = fitted_size(width, height, image_format), (0.0, 0.0, width, height)
    image = image.resize(size, RESAMPLING, box)
    if orientation in TRANSPOSES:
        image = image.transpose(TRANSPOSES[orientation])  # after resizing: fewer pixels to move
    pixels = np.asarray(image, dtype=np.uint8)
    if image.size != (upright.width, upright.height):
        pixels = _pad(pixels, upright)
    if upright.channels == 1:
        return pixels[None]  # (H, W) -> (1, H, W)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))  # (H, W, 3) -> (3, H, W)


def fitted_size(width: float, height: float, image_format: ImageFormat) -> tuple[int, int]:
    """Width and height that the whole original is resized to, before cropping or padding."""
    if image_format.resize_mode == "stretch":
        return image_format.width, image_format.height
    choose = min if image_format.resize_mode == "pad" else max
    scale = choose(image_format.width / width, image_format.height / height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _decode(file: BinaryIO, image_format: ImageFormat) -> Decoded:
    with _open(file) as image:
        _check_header(image, image_format.max_pixels)
        if image.format not in REDUCIBLE:
            image.load()  # first: reading a PNG's EXIF reads its pixels too, and hides errors in them
        orientation = _orientation(image)
        width, height = image.size[::-1] if orientation >= SWAPPED else image.size
        extent = _reduce(image, orientation, fitted_size(width, height, image_format))
        image.load()
        return Decoded(fit_image(image, image_format, extent, orientation), width, height)


def _open(file: BinaryIO) -> ImageFile.ImageFile:
    """Read the header.

    `PIL.Image.open` does the same, but checks a limit on the number of pixels that belongs to the whole
    process. Each `ImageFormat` has its own. (For WebP, which has at most 268 million pixels, Pillow's limit
    of 179 million still holds.)
    """
    start = file.read(12)
    file.seek(0)
    if not start:
        raise UnreadableImageError("the file is empty (0 bytes)")
    try:
        if start.startswith(b"\x89PNG\r\n\x1a\n"):
            return PngImageFile(file)
        if start.startswith(b"\xff\xd8\xff"):
            return jpeg_factory(file)
        if start.startswith(b"RIFF") and start.endswith(b"WEBP"):
            return WebPImageFile(file)
        if start.startswith(b"BM"):
            return BmpImageFile(file)
    except (SyntaxError, IndexError, TypeError, struct.error) as error:
        raise UnreadableImageError(NOT_AN_IMAGE) from error
    raise UnreadableImageError(NOT_AN_IMAGE)


def _check_header(image: Image.Image, max_pixels: int) -> None:
    """Refuse what is too large or animated, before a pixel is decoded."""
    width, height = image.size
    if width * height > max_pixels:
        raise UnreadableImageError(
            f"{width}×{height} pixels are more than data.max_pixels={max_pixels} (a decompression bomb?)"
        )
    frames = getattr(image, "n_frames", 1)
    # Phones append a preview to a JPEG (format MPO): two pictures, but not an animation.
    if frames > 1 and image.format != "MPO":
        raise UnreadableImageError(f"it is animated ({frames} frames): save one frame as an image")


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 (upright) if it is missing or invalid."""
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except Exception:  # the metadata are broken, the pixels may still be good
        return 1
    return value if value in range(1, 9) else 1


def _reduce(
    image: ImageFile.ImageFile, orientation: int, fitted: tuple[int, int]
) -> tuple[float, float] | None:
    """Let a large JPEG be decoded at 1/2, 1/4 or 1/8 of its size, but not smaller than ``fitted``.

    This is about twice as fast, and on average differs by less than 1 of 255 from resizing all pixels.
    Other formats stay as they are.

    Returns:
        The extent of the picture, whose last column and row may be less than a whole pixel; None: all of it.
    """
    drafted = image.draft(None, fitted[::-1] if orientation >= SWAPPED else fitted)
    return drafted[1][2:] if drafted else None


def _to_channels(image: Image.Image, channels: int) -> Image.Image:
    """Convert to 8-bit gray or RGB. Transparent parts become white."""
    mode = "L" if channels == 1 else "RGB"
    if image.mode.startswith("I"):
        image = _from_16_bits(image)
    if image.has_transparency_data:
        color = image.convert("RGBA")
        white = Image.new("RGBA", color.size, "white")
        image = Image.alpha_composite(white, color)
    return image if image.mode == mode else image.convert(mode)


def _from_16_bits(image: Image.Image) -> Image.Image:
    """Scale 0…65535 to 0…255. (Pillow's own conversion clips everything above 255.)"""
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise UnreadableImageError(
            f"its values range from {values.min()} to {values.max()}: save it with 8 bits"
        )
    gray = np.round(values / 257).astype(np.uint8)
    gray[values == image.info.get("transparency")] = 255  # white, as everything transparent
    return Image.fromarray(gray)


def _centre(width: float, height: float, image_format: ImageFormat) -> tuple[float, float, float, float]:
    """The largest centred box with the aspect ratio of ``image_format``: left, top, right, bottom in pixels.

    Cropping before resizing keeps a strip of 1 × 60000 pixels from becoming gigabytes on the way.
    """
    scale = max(image_format.width / width, image_format.height / height)
    across, down = min(image_format.width / scale, width), min(image_format.height / scale, height)
    left, top = (width - across) / 2, (height - down) / 2
    return left, top, left + across, top + down


def _pad(pixels: Pixels, image_format: ImageFormat) -> Pixels:
    """Centre ``pixels``, (h, w) or (h, w, 3), in an array of the height and width of ``image_format``."""
    height, width = pixels.shape[:2]
    top, left = (image_format.height - height) // 2, (image_format.width - width) // 2
    if image_format.pad == "edge":
        below, right = image_format.height - height - top, image_format.width - width - left
        padded: Pixels = np.pad(pixels, [(top, below), (left, right), (0, 0)][: pixels.ndim], mode="edge")
        return padded
    canvas: Pixels = np.empty((image_format.height, image_format.width, *pixels.shape[2:]), np.uint8)
    canvas[:] = _filling(pixels, image_format.pad)
    canvas[top : top + height, left : left + width] = pixels
    return canvas


def _filling(pixels: Pixels, pad: PadMode) -> Pixels:
    """The color that surrounds the image: one value, or one for each channel."""
    if pad == "mean":
        # The sum of bytes is exact, so the result is the same on every machine.
        color: Pixels = np.round(pixels.mean(axis=(0, 1), dtype=np.float64)).astype(np.uint8)
        return color
    return np.array(255 if pad == "white" else 0, np.uint8)


def _reason(error: Exception) -> str:
    if "truncated" in str(error).lower():
        return "it is truncated"
    return f"{type(error).__name__}: {error}"
