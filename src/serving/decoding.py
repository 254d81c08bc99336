"""One image file, safely, to one array of a fixed shape."""

import errno
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

Fit = Literal["pad", "crop", "stretch"]
Pixels = npt.NDArray[np.uint8]

# Each format is a parser fed with foreign bytes: no more of them than are promised.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
COARSE = ("JPEG", "MPO")  # can be decoded at a fraction of their size; MPO is JPEG with a preview
# Averages over the source when shrinking, and never overshoots: no new extremes, no ringing.
RESAMPLING = Image.Resampling.BILINEAR
ORIENTATION = 0x0112  # the EXIF tag
SWAPPED = 5  # from here on, an orientation swaps width and height
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
DISK_FAULTS = (errno.EIO, errno.ENOMEM, errno.ESTALE)  # of the machine, not of the file's content

# Pillow's limit is one for the whole process and only warns at first; `_refuse` replaces it, by field.
Image.MAX_IMAGE_PIXELS = None


class UnreadableImageError(Exception):
    """The file is not an image that can be used; the text says why, without the file's name."""


@dataclass(frozen=True)
class ImageFormat:
    """What every image is brought to.

    ``height`` and ``width`` in pixels; ``channels`` 1 (grey) or 3 (RGB); ``fit`` says how an image of
    another shape gets there: ``pad`` with black, ``crop`` the middle, or ``stretch``.
    """

    height: int
    width: int
    channels: int
    resize_mode: Fit
    max_pixels: int


@dataclass(frozen=True)
class Decoded:
    """``pixels`` uint8 (C, H, W), and the size of the upright original in pixels."""

    pixels: Pixels
    width: int
    height: int


def decode_file(path: Path, form: ImageFormat) -> Decoded:
    """Decode the image at ``path``.

    Raises ``UnreadableImageError`` for whatever is wrong with the content, ``OSError`` where the file cannot
    be opened at all. A pure function of the bytes and ``form``.
    """
    with path.open("rb") as file:
        return decode(file, form)


def decode(file: BinaryIO, form: ImageFormat) -> Decoded:
    """Like `decode_file`, for an open file."""
    try:
        # Pillow warns of odd metadata and palettes: neither touches the pixels, or load() raises.
        with warnings.catch_warnings(action="ignore"):
            return _decode(file, form)
    except (UnreadableImageError, MemoryError):
        raise
    except Exception as error:  # parsers of broken files raise nearly every kind there is
        if isinstance(error, OSError) and error.errno in DISK_FAULTS:
            raise
        raise UnreadableImageError(_reason(error)) from error


def fit_image(
    image: Image.Image, form: ImageFormat, extent: tuple[float, float] | None = None, orientation: int = 1
) -> Pixels:
    """Bring an image of any mode to ``form``: uint8 (C, H, W).

    ``extent`` is the width and height that count, from the upper left, if not all; ``orientation`` (EXIF)
    is how the image must still be turned.
    """
    image = _to_channels(image, form.channels)
    width, height = extent or image.size
    lying = form if orientation < SWAPPED else replace(form, width=form.height, height=form.width)
    if form.resize_mode == "crop":
        size, box = (lying.width, lying.height), _middle(width, height, lying)
    else:
        size, box = fitted_size(width, height, lying), (0.0, 0.0, width, height)
    image = image.resize(size, RESAMPLING, box)
    if orientation in TURNS:
        image = image.transpose(TURNS[orientation])  # after resizing: there is less to turn
    if image.size != (form.width, form.height):
        image = _pad(image, form)
    pixels = np.asarray(image, dtype=np.uint8)
    if form.channels == 1:
        return pixels[None]  # (H, W) -> (1, H, W)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))  # (H, W, 3) -> (3, H, W)


def fitted_size(width: float, height: float, form: ImageFormat) -> tuple[int, int]:
    """Width and height that the whole original gets, before cropping or padding to ``form``."""
    if form.resize_mode == "stretch":
        return form.width, form.height
    choose = min if form.resize_mode == "pad" else max
    scale = choose(form.width / width, form.height / height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _decode(file: BinaryIO, form: ImageFormat) -> Decoded:
    if not file.read(1):
        raise UnreadableImageError("the file is empty (0 bytes)")
    file.seek(0)
    with Image.open(file, formats=FORMATS) as image:
        _refuse(image, form.max_pixels)
        if image.format not in COARSE:
            image.load()  # first: asking for a PNG's EXIF would read its pixels and hide their faults
        orientation = _orientation(image)
        width, height = image.size[::-1] if orientation >= SWAPPED else image.size
        extent = _allow_coarse(image, orientation, fitted_size(width, height, form))
        image.load()
        return Decoded(fit_image(image, form, extent, orientation), width, height)


def _refuse(image: Image.Image, max_pixels: int) -> None:
    """Refuse from the header, before a pixel is decoded."""
    width, height = image.size
    if width * height > max_pixels:
        raise UnreadableImageError(
            f"{width}×{height} pixels are more than data.max_pixels={max_pixels} (a decompression bomb?)"
        )
    frames = getattr(image, "n_frames", 1)
    # Phones append a preview to a JPEG (format MPO): more pictures, but no animation.
    if frames > 1 and image.format != "MPO":
        raise UnreadableImageError(
            f"it is animated ({frames} frames): save the frame that counts as one image"
        )


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 (upright) where there is none or it is nonsense."""
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except Exception:  # broken metadata beside good pixels: the image is still good
        return 1
    return value if value in range(1, 9) else 1


def _allow_coarse(
    image: Image.Image, orientation: int, fitted: tuple[int, int]
) -> tuple[float, float] | None:
    """Let a large JPEG be decoded at 1/2, 1/4 or 1/8, as long as it stays at least as large as wanted.

    About twice as fast, and less than 1 of 255 away from resampling all pixels, on average. Other formats
    stay as they are. Returns the extent of the picture: its last column and row may stand for less than a
    pixel.
    """
    drafted = image.draft(None, fitted[::-1] if orientation >= SWAPPED else fitted)
    return drafted[1][2:] if drafted else None


def _to_channels(image: Image.Image, channels: int) -> Image.Image:
    """Grey or RGB, 8 bits; transparent parts become white."""
    mode = "L" if channels == 1 else "RGB"
    if image.mode.startswith("I"):
        image = _from_16_bits(image)
    if image.has_transparency_data:
        colour = image.convert("RGBA")
        white = Image.new("RGBA", colour.size, "white")
        image = Image.alpha_composite(white, colour)
    return image if image.mode == mode else image.convert(mode)


def _from_16_bits(image: Image.Image) -> Image.Image:
    """Scale 0…65535 to 0…255 (Pillow's own conversion would cut everything above 255 off)."""
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise UnreadableImageError(
            f"its values reach from {values.min()} to {values.max()}: save it with 8 bits"
        )
    grey = np.round(values / 257).astype(np.uint8)
    grey[values == image.info.get("transparency")] = 255  # on white, like all that is transparent
    return Image.fromarray(grey)


def _middle(width: float, height: float, form: ImageFormat) -> tuple[float, float, float, float]:
    """The largest centred box of the wanted shape: left, top, right, bottom in pixels.

    Cutting before resizing keeps a strip of 1 × 60000 pixels from becoming gigabytes on the way.
    """
    scale = max(form.width / width, form.height / height)
    across, down = min(form.width / scale, width), min(form.height / scale, height)
    left, top = (width - across) / 2, (height - down) / 2
    return left, top, left + across, top + down


def _pad(image: Image.Image, form: ImageFormat) -> Image.Image:
    """Centre ``image`` on a black canvas of the wanted size."""
    canvas = Image.new(image.mode, (form.width, form.height))
    canvas.paste(image, ((form.width - image.width) // 2, (form.height - image.height) // 2))
    return canvas


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"it is not a readable image of the formats {', '.join(FORMATS)}"
    if "truncated" in str(error).lower():
        return "it is truncated"
    return f"{type(error).__name__}: {error}"
