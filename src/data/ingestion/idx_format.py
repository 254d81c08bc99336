"""The idx format of MNIST (http://yann.lecun.com/exdb/mnist): big-endian header, then bytes.

Only the part that image data sets use: uint8, images (N, H, W) and labels (N,), gzipped or not.
"""

import gzip
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from src.core.errors import AssayError

HOW_TO_FIX = "Get the file again (python -m src.fetch NAME for a known data set)"
BLOCK_BYTES = 8 * 2**20  # of pixels in memory at a time
GZIP_STORED = 65535  # bytes, the largest block that deflate can store


def read_shape(path: Path, dimensions: int) -> tuple[int, ...]:
    """Read (N, H, W) or (N,) from the header. Raises ``AssayError`` if the header is another one."""
    with _opened(path) as file:
        return _header(file, path, dimensions)


def read_labels(path: Path) -> npt.NDArray[np.uint8]:
    """Read all labels (N,). Raises ``AssayError`` if the file is damaged."""
    with _opened(path) as file:
        (count,) = _header(file, path, 1)
        labels = np.frombuffer(_exactly(file, count, path), np.uint8)
        _refuse_more(file, path)
        return labels


def read_images(path: Path, max_pixels: int) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield blocks (n, H, W) in order. Raises ``AssayError`` when it reaches a damaged part."""
    with _opened(path) as file:
        count, height, width = _header(file, path, 3)
        if height * width > max_pixels:
            raise AssayError(
                f"{path}: {height}×{width} pixels per image are more than data.max_pixels={max_pixels}. "
                f"{HOW_TO_FIX}"
            )
        step = max(1, BLOCK_BYTES // (height * width))
        for first in range(0, count, step):
            n = min(step, count - first)
            block = np.frombuffer(_exactly(file, n * height * width, path), np.uint8)
            yield block.reshape(n, height, width)
        _refuse_more(file, path)


def to_bytes(array: npt.NDArray[np.uint8]) -> bytes:
    """Encode a uint8 array as a gzipped idx file.

    The bytes are stored, not compressed: compressed bytes differ between builds of zlib, stored ones do not.
    """
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return _gzip_stored(header + array.tobytes())


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        try:
            yield file  # type: ignore[misc]
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise AssayError(f"{path} is damaged: {error}. {HOW_TO_FIX}") from error


def _header(file: BinaryIO, path: Path, dimensions: int) -> tuple[int, ...]:
    magic = file.read(4)
    expected = bytes([0, 0, 8, dimensions])
    if magic != expected:
        raise AssayError(
            f"{path} is not an idx file of uint8 in {dimensions} dimensions: it begins with "
            f"{magic.hex() or 'nothing'}, not {expected.hex()}. {HOW_TO_FIX}"
        )
    shape = struct.unpack(f">{dimensions}I", _exactly(file, 4 * dimensions, path))
    if 0 in shape:
        raise AssayError(f"{path} is empty: its shape is {shape}. {HOW_TO_FIX}")
    return shape


def _exactly(file: BinaryIO, size: int, path: Path) -> bytes:
    content = file.read(size)
    if len(content) < size:
        raise AssayError(f"{path} is truncated: {size - len(content)} bytes are missing. {HOW_TO_FIX}")
    return content


def _refuse_more(file: BinaryIO, path: Path) -> None:
    if file.read(1):
        raise AssayError(f"{path} is longer than its header says. {HOW_TO_FIX}")


def _gzip_stored(content: bytes) -> bytes:
    """RFC 1952 and 1951, section 3.2.4; no name and no time in the header."""
    parts = [bytes([0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255])]
    for first in range(0, len(content), GZIP_STORED):
        block = content[first : first + GZIP_STORED]
        last = first + GZIP_STORED >= len(content)
        parts += [struct.pack("<BHH", last, len(block), len(block) ^ 0xFFFF), block]
    return b"".join([*parts, struct.pack("<II", zlib.crc32(content), len(content) % 2**32)])
