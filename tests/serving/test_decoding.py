"""One image file to one array: what the eye sees, whatever the file's format says."""

import io
import struct
import subprocess
import sys
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from src.serving.decoding import (
    Decoded,
    ImageFormat,
    PadMode,
    UnreadableImageError,
    decode,
    fit_image,
    fitted_size,
)
from tests.support.pictures import HALVES, encoded, halves, noise
from tests.support.workspaces import ROOT

COLOR = ImageFormat(height=HALVES[1], width=HALVES[0], channels=3, resize_mode="stretch", max_pixels=10**6)
GRAY = replace(COLOR, channels=1)
ENDINGS = ("png", "jpg", "webp", "bmp")
LOSSLESS = {"webp": {"lossless": True}}


def _decode(content: bytes, form: ImageFormat = COLOR) -> Decoded:
    return decode(io.BytesIO(content), form)


@pytest.mark.parametrize("ending", ENDINGS)
def test_colors_arrive(ending: str) -> None:
    decoded = _decode(encoded(halves(), ending))
    assert decoded.pixels.shape == (3, 20, 40)
    assert decoded.pixels.dtype == np.uint8
    assert (decoded.width, decoded.height) == HALVES
    np.testing.assert_allclose(decoded.pixels[:, 10, 5], [255, 0, 0], atol=3)
    np.testing.assert_allclose(decoded.pixels[:, 10, 35], [0, 0, 255], atol=3)


# Where the red half (left when upright) is stored, by the orientation that brings it back.
TURNS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
@pytest.mark.parametrize("orientation", TURNS)
def test_exif_orientation_is_honoured(ending: str, orientation: int) -> None:
    turn = TURNS[orientation]
    stored = halves() if turn is None else halves().transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = _decode(encoded(stored, ending, exif=exif))
    assert (decoded.width, decoded.height) == HALVES
    np.testing.assert_allclose(decoded.pixels[:, 10, 5], [255, 0, 0], atol=3)
    np.testing.assert_allclose(decoded.pixels[:, 10, 35], [0, 0, 255], atol=3)


@pytest.mark.parametrize("orientation", [0, 9, 200])
def test_nonsense_orientation_counts_as_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert _decode(encoded(halves(), "jpg", exif=exif)).width == HALVES[0]


def test_broken_metadata_does_not_lose_the_image() -> None:
    content = encoded(halves(), "jpg", exif=b"Exif\0\0broken beyond repair")
    assert _decode(content).pixels[0, 10, 5] > 250


@pytest.mark.parametrize("ending", ["png", "webp"])
@pytest.mark.parametrize("form", [COLOR, GRAY])
def test_alpha_is_flattened_on_white(ending: str, form: ImageFormat) -> None:
    image = Image.new("RGBA", HALVES, (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 20, 20))
    image.putpixel((39, 0), (0, 0, 0, 128))
    pixels = _decode(encoded(image, ending, **LOSSLESS.get(ending, {})), form).pixels
    assert (pixels[:, :, :20] == 0).all()
    assert (pixels[:, 1:, 20:] == 255).all()
    assert (pixels[:, 0, 39] == 127).all()


def test_transparency_of_palette_gray_and_color_without_alpha_channel() -> None:
    black = Image.new("RGB", HALVES)
    for image, options in (
        (black.convert("P"), {"transparency": 0}),
        (black.convert("L"), {"transparency": 0}),
        (black, {"transparency": (0, 0, 0)}),
        (Image.new("LA", HALVES, (0, 0)), {}),
        (Image.fromarray(np.zeros((20, 40), np.uint16)), {"transparency": 0}),
    ):
        assert (_decode(encoded(image, "png", **options)).pixels == 255).all(), image.mode


def test_palette_bilevel_and_cmyk_become_color() -> None:
    red = Image.new("RGB", HALVES, "red")
    for content in (encoded(red.convert("P"), "png"), encoded(red.convert("CMYK"), "jpg")):
        np.testing.assert_allclose(_decode(content).pixels.mean((1, 2)), [255, 0, 0], atol=4)
    assert (_decode(encoded(Image.new("1", HALVES, 1), "bmp")).pixels == 255).all()


def test_gray_is_the_luma_of_color() -> None:
    pixels = _decode(encoded(Image.new("RGB", HALVES, (200, 100, 50)), "png"), GRAY).pixels
    assert pixels.shape == (1, 20, 40)
    assert abs(int(pixels[0, 0, 0]) - (0.299 * 200 + 0.587 * 100 + 0.114 * 50)) <= 1


def test_16_bits_are_scaled_not_cut() -> None:
    values = np.linspace(0, 65535, 800).round().astype(np.uint16).reshape(20, 40)
    pixels = _decode(encoded(Image.fromarray(values), "png"), GRAY).pixels
    np.testing.assert_array_equal(pixels[0], np.round(values / 257))


def test_16_bit_color_is_scaled() -> None:
    row = b"\0" + struct.pack(">3H", 0, 32768, 65535) * 4
    content = _png(4, 4, row * 4, bits=16, color=2)
    np.testing.assert_array_equal(_decode(content).pixels[:, 0, 0], [0, 128, 255])


def test_a_phones_jpeg_with_a_preview_is_no_animation() -> None:
    content = io.BytesIO()
    halves().save(content, "MPO", save_all=True, append_images=[noise(1)])
    assert Image.open(content).format == "MPO"
    assert _decode(content.getvalue()).width == HALVES[0]


@pytest.mark.parametrize("ending", ["png", "webp"])
def test_animations_are_refused_by_name(ending: str) -> None:
    content = encoded(halves(), ending, save_all=True, append_images=[noise(1, HALVES), noise(2, HALVES)])
    with pytest.raises(UnreadableImageError, match="animated \\(3 frames\\)"):
        _decode(content)


@pytest.mark.parametrize("ending", ENDINGS)
def test_more_pixels_than_allowed_are_refused_from_the_header(ending: str) -> None:
    content = encoded(halves(), ending)
    form = replace(COLOR, max_pixels=799)
    with pytest.raises(UnreadableImageError, match=r"40×20 pixels are more than data\.max_pixels=799"):
        _decode(content, form)
    _decode(content, replace(COLOR, max_pixels=800))


def test_a_decompression_bomb_is_refused_before_it_is_decoded() -> None:
    # A PNG of 60000 × 60000 pixels in 1 kB: its data are never looked at, so they may be short.
    content = _png(60000, 60000, b"\0" * 1000, bits=8, color=2)
    with pytest.raises(UnreadableImageError, match=r"60000×60000.*bomb"):
        _decode(content)


def test_a_limit_above_pillows_own_is_honoured() -> None:
    # Pillow alone would refuse 15000 × 15000; a row that is too short shows that decoding began.
    content = _png(15000, 15000, b"\0" * 1000, bits=1, color=0)
    with pytest.raises(UnreadableImageError, match="truncated"):
        _decode(content, replace(GRAY, max_pixels=300_000_000))


@pytest.mark.parametrize("ending", ENDINGS)
def test_truncated_files_are_refused(ending: str) -> None:
    content = encoded(noise(0, (64, 64)), ending)
    for share in (0.3, 0.6, 0.9):
        with pytest.raises(UnreadableImageError, match=r"."):
            _decode(content[: int(len(content) * share)])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"hello, I am a text", "not a readable image"),
        (b"\x89PNG\r\n\x1a\n", "."),
        (encoded(halves(), "gif"), "not a readable image in one of the formats PNG, JPEG, WEBP, BMP"),
        (encoded(halves(), "tiff"), "not a readable image"),
    ],
    ids=["empty", "text", "signature only", "gif", "tiff"],
)
def test_what_is_no_image_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(UnreadableImageError, match=reason):
        _decode(content)


@settings(max_examples=300, deadline=None)
@given(ending=st.sampled_from(ENDINGS), place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_never_does_worse_than_unreadable(ending: str, place: float, bit: int) -> None:
    content = bytearray(encoded(noise(3, (24, 24)), ending))
    content[int(place * len(content))] ^= 1 << bit
    try:
        decoded = _decode(bytes(content))
    except UnreadableImageError:
        return
    assert decoded.pixels.shape == (3, 20, 40)


def test_odd_metadata_and_palettes_do_not_matter(recwarn: pytest.WarningsRecorder) -> None:
    plain = _decode(encoded(halves(), "jpg"))
    odd = _decode(encoded(halves(), "jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0"))
    assert np.array_equal(plain.pixels, odd.pixels)
    recwarn.clear()  # Pillow warns about that EXIF block
    _decode(encoded(halves().convert("P"), "png", transparency=b"\0\1"))
    assert not recwarn.list


def test_decoding_changes_no_setting_of_pillow() -> None:
    code = (
        "from PIL import Image, ImageFile;"
        "before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES);"
        "import io, sys; from src.serving.decoding import ImageFormat, decode;"
        "decode(io.BytesIO(bytes.fromhex(sys.argv[1])), ImageFormat(8, 8, 3, 'pad', 10**9));"
        "assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES), before;"
        "assert before[0] is not None"
    )
    command = [sys.executable, "-c", code, encoded(halves(), "png").hex()]
    subprocess.run(command, cwd=ROOT, check=True)


@settings(max_examples=150, deadline=None)
@given(
    size=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    channels=st.sampled_from([1, 3]),
    fit=st.sampled_from(["pad", "crop", "stretch"]),
    mode=st.sampled_from(["L", "RGB", "RGBA"]),
)
def test_every_size_gets_to_every_shape(size, shape, channels, fit, mode) -> None:
    form = ImageFormat(*shape, channels, fit, 10**6)
    pixels = fit_image(noise(0, size, mode), form)
    assert pixels.shape == (channels, *shape)
    assert pixels.flags["C_CONTIGUOUS"]


def test_an_image_of_the_right_shape_stays_as_it_is() -> None:
    image = noise(5, HALVES)
    for fit in ("pad", "crop", "stretch"):
        pixels = _decode(encoded(image, "png"), replace(COLOR, resize_mode=fit)).pixels
        np.testing.assert_array_equal(pixels, np.asarray(image).transpose(2, 0, 1))


def test_pad_keeps_everything_between_black_bars() -> None:
    pixels = fit_image(Image.new("RGB", (40, 20), "white"), ImageFormat(40, 40, 3, "pad", 10**6))
    assert (pixels[:, 10:30] == 255).all()
    assert (pixels[:, :10] == 0).all()
    assert (pixels[:, 30:] == 0).all()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("pad", "left", "right"), [("black", 0, 0), ("white", 255, 255), ("edge", 80, 160), ("mean", 120, 120)]
)
def test_what_is_added_beside_an_image(pad: PadMode, left: int, right: int, channels: int) -> None:
    image = Image.new("RGB", (20, 40), (80, 80, 80))
    image.paste((160, 160, 160), (10, 0, 20, 40))
    pixels = fit_image(image, ImageFormat(40, 41, channels, "pad", 10**6, pad))
    assert pixels.shape == (channels, 40, 41)
    assert (pixels[:, :, :10] == left).all()
    assert (pixels[:, :, 30:] == right).all()  # one column more than on the left
    np.testing.assert_array_equal(pixels[:, :, 10:30], np.asarray(image).transpose(2, 0, 1)[:channels])


def test_the_mean_is_that_of_each_channel() -> None:
    pixels = fit_image(halves(), ImageFormat(40, 40, 3, "pad", 10**6, "mean"))
    assert pixels[:, 0, 0].tolist() == [128, 0, 128]  # half red, half blue; 127.5 is rounded to even


@pytest.mark.parametrize("pad", ["edge", "mean"])
def test_padding_continues_what_transparency_became(pad: PadMode) -> None:
    """Composited first: with the aspect ratio no color comes in that the image does not have."""
    clear = Image.new("RGBA", (40, 20), (0, 0, 0, 0))
    assert (_decode(encoded(clear, "png"), ImageFormat(40, 40, 3, "pad", 10**6, pad)).pixels == 255).all()


def test_a_turned_image_is_padded_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # upright it is 20 pixels wide and 40 high, with red above
    form = ImageFormat(40, 40, 3, "pad", 10**6, "edge")
    pixels = _decode(encoded(halves(), "png", exif=exif), form).pixels
    for column in (0, 39):
        assert pixels[:, [10, 30], column].T.tolist() == [[255, 0, 0], [0, 0, 255]]


def test_crop_keeps_the_middle() -> None:
    image = Image.new("RGB", (60, 20), "black")
    image.paste("white", (20, 0, 40, 20))
    assert (fit_image(image, ImageFormat(20, 20, 3, "crop", 10**6)) == 255).all()


def test_stretch_keeps_both_halves() -> None:
    pixels = fit_image(halves(), ImageFormat(20, 20, 3, "stretch", 10**6))
    assert (pixels[0, :, :9] == 255).all()
    assert (pixels[2, :, 11:] == 255).all()


def test_cropping_a_long_strip_needs_no_long_strip_in_memory() -> None:
    # Resized as a whole, it would be 60000 × 2048 times 2048 pixels.
    pixels = fit_image(Image.new("L", (60000, 1), 7), ImageFormat(2048, 2048, 1, "crop", 10**6))
    assert (pixels == 7).all()


def test_reduced_decoding_stays_close_to_resizing_all_pixels() -> None:
    # 500 and 333 leave a remainder at 1/8: the picture must not be stretched over it.
    for size in ((500, 400), (333, 277)):
        smooth = noise(1, (10, 8)).resize(size, Image.Resampling.BICUBIC)
        content = encoded(smooth, "jpg", quality=90)
        form = ImageFormat(40, 50, 3, "stretch", 10**6)
        whole = fit_image(Image.open(io.BytesIO(content)), form).astype(int)
        assert np.abs(_decode(content, form).pixels - whole).mean() < 1


def test_fitted_size_never_vanishes() -> None:
    assert fitted_size(1000, 1, ImageFormat(8, 8, 1, "pad", 1)) == (8, 1)


def _png(width: int, height: int, rows: bytes, bits: int, color: int) -> bytes:
    """A PNG written here, of sizes and depths that Pillow does not write."""
    header = struct.pack(">2I5B", width, height, bits, color, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    parts = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
