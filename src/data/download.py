"""Brings the files of a known data set from the first place that has them, checked and all at once."""

import fcntl
import http.client
import os
import shutil
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO

from src.core.errors import AssayError
from src.core.hashing import file_hash

Say = Callable[[str], None]
Bar = Callable[[str, int | None], AbstractContextManager[Callable[[int], None]]]

BLOCK_BYTES = 2**18
TIMEOUT = 30  # seconds without a byte
# The mirrors' gzip headers carry the name and another time than those of Debian's package; the rest is
# equal. All get Debian's header, so that the bytes (and DVC's hash) do not depend on the place.
GZIP_MAGIC = b"\x1f\x8b\x08"
GZIP_NAMED = 8  # flag: a name that ends with 0 follows the header
GZIP_HEADER = bytes.fromhex("1f8b0800ed0ada5e0003")


class NotFoundError(Exception):
    """A place has not got the file, or does not answer; the text says which."""


def missing_files(folder: Path, files: Mapping[str, str]) -> list[str]:
    """Names whose file is not there with its checksum."""
    return [name for name, digest in files.items() if not _is_intact(folder / name, digest)]


def download(folder: Path, files: Mapping[str, str], places: Sequence[str], say: Say, bar: Bar) -> None:
    """Bring ``files`` (name: SHA-256) from the first of ``places`` (folders or http addresses) to ``folder``.

    Either all arrive or none. Raises ``AssayError`` if no place has a file, or if a checksum is wrong:
    that is no reason to look elsewhere, but one to ask why.
    """
    with parts_folder(folder) as parts:
        left = list(places)
        for name, digest in files.items():
            _bring_one(parts / name, digest, left, say, bar)


@contextmanager
def parts_folder(folder: Path) -> Iterator[Path]:
    """A folder beside ``folder`` for what is not finished; its files move there when the block ends well.

    One process at a time; what a killed one left is removed.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    parts = folder.with_name(f".{folder.name}.part")
    lock = os.open(folder.parent, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released with the process, however that ends
        shutil.rmtree(parts, ignore_errors=True)
        parts.mkdir()
        yield parts
        folder.mkdir(exist_ok=True)
        for path in sorted(parts.iterdir()):
            path.replace(folder / path.name)
    finally:
        shutil.rmtree(parts, ignore_errors=True)
        os.close(lock)


def _bring_one(target: Path, digest: str, places: list[str], say: Say, bar: Bar) -> None:
    """Fill ``target`` from the first place; a place that fails is taken off the list for the next files."""
    reasons: list[str] = []
    while places:
        try:
            _copy(places[0], target, bar)
        except NotFoundError as error:
            reasons.append(f"{places.pop(0)}: {error}")
            say(f"not from {reasons[-1]}")
            continue
        _check(target, digest, places[0])
        say(f"{target.name} from {places[0]}, checksum right")
        return
    raise AssayError(
        f"no place has {target.name}:\n"
        + "\n".join(f"  {reason}" for reason in reasons or ["all places failed for an earlier file"])
        + "\nName a folder that has it (--from DIR) or another mirror (--mirror URL)."
    )


def _copy(place: str, target: Path, bar: Bar) -> None:
    with (
        _opened(place, target.name) as (source, size),
        target.open("wb") as file,
        bar(target.name, size) as advance,
    ):
        received = 0
        while block := _read(source):
            file.write(block)
            received += len(block)
            advance(len(block))
    if size is not None and received < size:
        raise NotFoundError(f"it broke off after {received} of {size} bytes")


@contextmanager
def _opened(place: str, name: str) -> Iterator[tuple[IO[bytes], int | None]]:
    """(stream, size in bytes if known) of a file in a folder or below an address."""
    try:
        if place.startswith(("http://", "https://")):
            source: IO[bytes] = urllib.request.urlopen(f"{place.rstrip('/')}/{name}", timeout=TIMEOUT)
            size = source.length  # type: ignore[attr-defined]
        else:
            path = Path(place) / name
            source, size = path.open("rb"), path.stat().st_size
    except FileNotFoundError as error:
        raise NotFoundError(f"it has no {name}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:  # refused, timeout, 404, no such host
        raise NotFoundError(str(error) or type(error).__name__) from error
    with source:
        yield source, size


def _read(source: IO[bytes]) -> bytes:
    """The next block. Only the reading side is guarded: a full disk is not the place's fault."""
    try:
        return source.read(BLOCK_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise NotFoundError(f"it broke off: {error or type(error).__name__}") from error


def _check(path: Path, digest: str, place: str) -> None:
    path.write_bytes(_with_common_header(path.read_bytes()))
    found = file_hash(path)
    if found != digest:
        raise AssayError(
            f"{path.name} from {place} has the wrong checksum: {found[:16]}…, not {digest[:16]}…. "
            "It was damaged or changed on the way; nothing was kept. Try again, or another place "
            "(--from DIR, --mirror URL)"
        )


def _with_common_header(content: bytes) -> bytes:
    """The same gzip file with `GZIP_HEADER`; anything else comes back as it is."""
    if content[:3] != GZIP_MAGIC or content[3:4] not in (b"\0", bytes([GZIP_NAMED])):
        return content
    start = content.find(b"\0", 10) + 1 if content[3] else 10
    return GZIP_HEADER + content[start:] if start else content


def _is_intact(path: Path, digest: str) -> bool:
    return path.is_file() and file_hash(path) == digest
