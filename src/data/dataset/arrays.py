"""A ``.npy`` array on disk that is filled row by row and read through a memory map.

Rows are written with plain file calls, not through a map: a full disk then raises ``OSError`` (through a
map it would kill the process with SIGBUS), and written pages do not count as the process's memory.
"""

import hashlib
import os
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from src.core.errors import AssayError

Rows = npt.NDArray[np.uint8]

BLOCK_BYTES = 8 * 2**20  # moved at a time


def create_array(path: Path, shape: tuple[int, ...]) -> None:
    """Create a uint8 array of zeros; the file occupies disk space only as it is filled."""
    with path.open("wb") as file:
        _write_header(file, shape)
        file.truncate(file.tell() + int(np.prod(shape)))


def write_rows(path: Path, first: int, rows: Rows) -> None:
    """Write ``rows`` (n, …) from row ``first`` on. Several processes may write different rows."""
    with path.open("r+b") as file:
        shape, start = _read_header(file, path)
        if rows.dtype != np.uint8 or rows.shape[1:] != shape[1:] or first + len(rows) > shape[0]:
            raise ValueError(f"rows {rows.dtype}{rows.shape} at {first} do not fit into {path.name} {shape}")
        file.seek(start + first * _row_bytes(shape))
        file.write(np.ascontiguousarray(rows).data)


def compact_rows(path: Path, keep: npt.NDArray[np.bool_]) -> None:
    """Remove the rows whose ``keep`` (n,) is false; the others stay in order."""
    with path.open("r+b") as file:
        shape, start = _read_header(file, path)
        if keep.shape != shape[:1]:
            raise ValueError(f"keep has shape {keep.shape}, but {path.name} has {shape[0]} rows")
        if keep.all():
            return
        kept = _move_down(file, shape, start, keep)
        file.truncate(start + kept * _row_bytes(shape))
        file.seek(0)
        _write_header(file, (kept, *shape[1:]))
        if file.tell() != start:
            raise RuntimeError(f"the header of {path.name} changed its length")


def open_array(path: Path) -> Rows:
    """Open the array, memory-mapped and read-only.

    Raises ``AssayError`` if the file is missing, or is not a complete uint8 array.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise AssayError(f"{path} cannot be read ({error}). Create it again: dvc repro ingest") from error
    if array.dtype != np.uint8:
        raise AssayError(f"{path} holds {array.dtype}, not uint8. Create it again: dvc repro ingest")
    return array  # type: ignore[no-any-return]


def pixel_hash(image: Rows) -> str:
    """SHA-256 of one image's bytes (C, H, W), hexadecimal."""
    return hashlib.sha256(np.ascontiguousarray(image).data).hexdigest()


def _move_down(file: BinaryIO, shape: tuple[int, ...], start: int, keep: npt.NDArray[np.bool_]) -> int:
    """Move the kept rows down, a block at a time; returns how many there are."""
    row = _row_bytes(shape)
    step = max(1, BLOCK_BYTES // row)
    kept = 0
    for first in range(0, shape[0], step):
        file.seek(start + first * row)
        block = np.frombuffer(file.read(step * row), np.uint8).reshape(-1, *shape[1:])
        block = block[keep[first : first + step]]
        file.seek(start + kept * row)
        file.write(block.tobytes())
        kept += len(block)
    return kept


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    npy.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})


def _read_header(file: BinaryIO, path: Path) -> tuple[tuple[int, ...], int]:
    """Shape of the array, and the offset of its first byte."""
    if npy.read_magic(file) != (1, 0):
        raise ValueError(f"{path.name} was not written by create_array")
    shape, _, dtype = npy.read_array_header_1_0(file)
    if dtype != np.uint8 or os.fstat(file.fileno()).st_size != file.tell() + int(np.prod(shape)):
        raise ValueError(f"{path.name} is not a complete uint8 array")
    return shape, file.tell()


def _row_bytes(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape[1:]))
