"""Small images for the tests, each a pure function of its arguments."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

HALVES = (40, 20)  # width, height of `halves`


def noise(seed: int, size: tuple[int, int] = (16, 12), mode: str = "RGB") -> Image.Image:
    """Random pixels; ``size`` is (width, height)."""
    channels = () if mode == "L" else (len(mode),)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], *channels), dtype=np.uint8)
    return Image.fromarray(pixels, mode)


def halves() -> Image.Image:
    """Left half red, right half blue."""
    image = Image.new("RGB", HALVES, "red")
    image.paste("blue", (HALVES[0] // 2, 0, *HALVES))
    return image


def encoded(image: Image.Image, ending: str, **options: object) -> bytes:
    """The image as a file of the format that belongs to ``ending``."""
    buffer = io.BytesIO()
    image.save(buffer, Image.registered_extensions()[f".{ending}"], **options)
    return buffer.getvalue()


def write_folder(folder: Path, counts: dict[str, int], ending: str = "png", seed: int = 0) -> list[Path]:
    """``folder/CLASS/0001.png`` …, all different."""
    paths = []
    for place, (label, count) in enumerate(counts.items()):
        (folder / label).mkdir(parents=True)
        for row in range(count):
            path = folder / label / f"{row:04d}.{ending}"
            path.write_bytes(encoded(noise(10_000 * seed + 1000 * place + row), ending))
            paths.append(path)
    return paths
