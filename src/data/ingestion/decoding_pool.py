"""Decodes many image files into one array, in parallel processes.

Each process writes its rows directly into the file, so no pixels pass between processes, and memory does
not grow with the number of images. The result does not depend on the number of processes.
"""

import hashlib
import os
import signal
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np

from src.core.errors import AssayError
from src.core.interruption import children_ignore_interrupts
from src.data.dataset.arrays import pixel_hash, write_rows
from src.serving.decoding import ImageFormat, UnreadableImageError, decode

CHUNK = 32  # images that a process gets at a time, at most
CHUNK_BYTES = 8 * 2**20  # of their pixels, at most
AHEAD = 4  # chunks queued for each process


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """``digest`` of the pixels and size of the original, or the ``reason`` why it cannot be used."""

    digest: str | None = None
    width: int = 0  # pixels, upright
    height: int = 0
    reason: str | None = None
    original: str | None = None  # SHA-256 of the file; of an image in an array, of its pixels there


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive images: the row of the first, and the names of their files in ``folder``."""

    row: int
    folder: Path
    names: Sequence[str]


def decode_files(
    folder: Path,
    names: Sequence[str],
    image_format: ImageFormat,
    array: Path,
    workers: int,
    advance: Callable[[int], None],
) -> list[DecodedImage]:
    """Decode the files ``names`` in ``folder`` into ``array``; returns one outcome for each.

    The array must exist, with a row for each file. Rows of unreadable images stay zero. Raises ``OSError``
    (a full disk, a missing file), or ``AssayError`` if a process dies.
    """
    size = max(
        1, min(CHUNK, CHUNK_BYTES // (image_format.height * image_format.width * image_format.channels))
    )
    chunks = (Chunk(row, folder, names[row : row + size]) for row in range(0, len(names), size))
    workers = min(workers, -(-len(names) // size))
    results = (
        _in_pool(chunks, image_format, array, workers)
        if workers > 1
        else _in_turn(chunks, image_format, array)
    )
    outcomes: list[DecodedImage] = []
    for chunk in results:
        outcomes += chunk
        advance(len(chunk))
    return outcomes


def _in_turn(chunks: Iterable[Chunk], image_format: ImageFormat, array: Path) -> Iterator[list[DecodedImage]]:
    for chunk in chunks:
        yield _decode_chunk(chunk, image_format, array)


def _in_pool(
    chunks: Iterable[Chunk], image_format: ImageFormat, array: Path, workers: int
) -> Iterator[list[DecodedImage]]:
    """Yield the results in the order of ``chunks``; the number of queued chunks is bounded."""
    # spawn: a fork would copy locks that threads of the progress bar or of Arrow may hold
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_exit_with_parent)
    waiting: deque[tuple[Chunk, Future[list[DecodedImage]]]] = deque()
    with pool:
        try:
            for chunk in chunks:
                with children_ignore_interrupts():  # submit starts a process when all are busy
                    future = pool.submit(_decode_chunk, chunk, image_format, array)
                waiting.append((chunk, future))
                if len(waiting) >= AHEAD * workers:
                    yield _result(*waiting.popleft())
            while waiting:
                yield _result(*waiting.popleft())
        finally:
            for _, future in waiting:
                future.cancel()


def _result(chunk: Chunk, future: Future[list[DecodedImage]]) -> list[DecodedImage]:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise AssayError(
            f"a decoding process died (out of memory, or killed) near {chunk.names[0]}. "
            "Lower machine.num_workers or data.max_pixels, or check the images near that one"
        ) from error


def _decode_chunk(chunk: Chunk, image_format: ImageFormat, array: Path) -> list[DecodedImage]:
    pixels = np.zeros(
        (len(chunk.names), image_format.channels, image_format.height, image_format.width), np.uint8
    )
    # Pillow warns about odd metadata and palettes, which do not affect the pixels.
    with warnings.catch_warnings(action="ignore"):
        outcomes = [
            _decode_one(chunk.folder / name, image_format, out)
            for name, out in zip(chunk.names, pixels, strict=True)
        ]
    write_rows(array, chunk.row, pixels)
    return outcomes


def _decode_one(
    path: Path, image_format: ImageFormat, out: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
) -> DecodedImage:
    """Decode into ``out`` (C, H, W)."""
    if path.is_symlink() and not path.exists():
        return DecodedImage(reason="it cannot be opened: a link to a file that does not exist")
    with path.open("rb") as file:
        original = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        try:
            decoded = decode(file, image_format)
        except UnreadableImageError as error:
            return DecodedImage(reason=str(error))
    out[:] = decoded.pixels
    return DecodedImage(pixel_hash(decoded.pixels), decoded.width, decoded.height, original=original)


def _exit_with_parent() -> None:
    """End this worker when its parent ends, even by a kill; the parent handles Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where it could not be blocked before the imports
    parent = parent_process()
    assert parent is not None
    threading.Thread(target=_exit_after, args=(parent,), daemon=True).start()


def _exit_after(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)
