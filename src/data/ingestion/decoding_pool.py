"""Many image files into one array, in parallel processes.

Each process writes its rows straight into the file, so that no pixels pass between processes and memory
stays the same for any number of images. The result does not depend on the number of processes.
"""

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
from src.data.dataset.arrays import pixel_hash, write_rows
from src.serving.decoding import ImageFormat, UnreadableImageError, decode_file

CHUNK = 32  # images a process gets at a time, at most
CHUNK_BYTES = 8 * 2**20  # of their pixels, at most
AHEAD = 4  # chunks waiting for each process


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """``digest`` of the pixels and the original's size, or the ``reason`` why there is no image."""

    digest: str | None = None
    width: int = 0  # pixels, upright
    height: int = 0
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """Neighbouring images: the first one's row, and their files' names in ``folder``."""

    row: int
    folder: Path
    names: Sequence[str]


def decode_files(
    folder: Path,
    names: Sequence[str],
    form: ImageFormat,
    array: Path,
    workers: int,
    advance: Callable[[int], None],
) -> list[DecodedImage]:
    """Decode the files ``names`` in ``folder`` into ``array``; returns one outcome for each.

    The array has been made with as many rows of ``form``'s shape. Rows of unreadable images stay zero.
    Raises ``OSError`` (a full disk, a missing file), or ``AssayError`` if a process dies.
    """
    size = max(1, min(CHUNK, CHUNK_BYTES // (form.height * form.width * form.channels)))
    chunks = (Chunk(row, folder, names[row : row + size]) for row in range(0, len(names), size))
    workers = min(workers, -(-len(names) // size))
    results = _in_pool(chunks, form, array, workers) if workers > 1 else _in_turn(chunks, form, array)
    outcomes: list[DecodedImage] = []
    for chunk in results:
        outcomes += chunk
        advance(len(chunk))
    return outcomes


def _in_turn(chunks: Iterable[Chunk], form: ImageFormat, array: Path) -> Iterator[list[DecodedImage]]:
    for chunk in chunks:
        yield _decode_chunk(chunk, form, array)


def _in_pool(
    chunks: Iterable[Chunk], form: ImageFormat, array: Path, workers: int
) -> Iterator[list[DecodedImage]]:
    """In the order of ``chunks``, with a bounded number under way."""
    # spawn: a fork would copy locks that the progress bar's or Arrow's threads may hold
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_exit_with_parent)
    waiting: deque[tuple[Chunk, Future[list[DecodedImage]]]] = deque()
    with pool:
        try:
            for chunk in chunks:
                waiting.append((chunk, pool.submit(_decode_chunk, chunk, form, array)))
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
            f"a process that decodes images died (out of memory, or killed) at about {chunk.names[0]}. "
            "Lower machine.num_workers or data.max_pixels, or look at the images around there"
        ) from error


def _decode_chunk(chunk: Chunk, form: ImageFormat, array: Path) -> list[DecodedImage]:
    pixels = np.zeros((len(chunk.names), form.channels, form.height, form.width), np.uint8)
    # Pillow warns about odd metadata and palettes, which do not affect the pixels.
    with warnings.catch_warnings(action="ignore"):
        outcomes = [
            _decode_one(chunk.folder / name, form, out) for name, out in zip(chunk.names, pixels, strict=True)
        ]
    write_rows(array, chunk.row, pixels)
    return outcomes


def _decode_one(
    path: Path, form: ImageFormat, out: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
) -> DecodedImage:
    """Decode into ``out`` (C, H, W)."""
    try:
        decoded = decode_file(path, form)
    except UnreadableImageError as error:
        return DecodedImage(reason=str(error))
    out[:] = decoded.pixels
    return DecodedImage(pixel_hash(decoded.pixels), decoded.width, decoded.height)


def _exit_with_parent() -> None:
    """End with the parent, even when that is killed; leave Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    assert parent is not None
    threading.Thread(target=_exit_after, args=(parent,), daemon=True).start()


def _exit_after(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)
