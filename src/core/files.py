"""Files and folders that are written completely or not at all."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Yield a path beside ``path``; the file or folder made there replaces ``path`` when the block ends.

    After an error or a kill ``path`` is what it was before. A file is replaced in one step, a folder
    in two renames. The temporary name carries the process id, so two processes never share one.
    """
    beside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    _remove(beside)  # left by a killed process that had the same id
    try:
        yield beside
        if beside.is_dir():
            replace_folder(beside, path)
        else:
            os.replace(beside, path)
    finally:
        _remove(beside)


def printable(path: str | Path) -> str:
    """The path as text that every file and terminal takes: bytes that are not UTF-8 become ``\\xe9``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def write_text(path: Path, text: str) -> None:
    """Write UTF-8, completely or not at all."""
    with replaced(path) as beside:
        beside.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write indented JSON, completely or not at all."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def keep_json(path: Path, content: Any) -> None:
    """Write a cache. Where that fails there is none: a read-only or full disk, a name that is not UTF-8."""
    with suppress(OSError, ValueError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, content)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def replace_folder(source: Path, place: Path) -> None:
    """Rename ``source`` to ``place``; the folder that was there is removed once the new one is in place."""
    place.parent.mkdir(parents=True, exist_ok=True)
    source = _on_the_same_disk(source, place)
    old = place.with_name(f".{place.name}.replaced")
    shutil.rmtree(old, ignore_errors=True)
    if place.exists():
        os.replace(place, old)
    os.replace(source, place)
    shutil.rmtree(old, ignore_errors=True)


def _on_the_same_disk(source: Path, place: Path) -> Path:
    """Copy ``source`` beside ``place`` if it is on another file system: a rename cannot cross."""
    if source.stat().st_dev == place.parent.stat().st_dev:
        return source
    beside = place.with_name(f".{place.name}.incoming")
    shutil.rmtree(beside, ignore_errors=True)
    shutil.copytree(source, beside)
    shutil.rmtree(source)
    return beside


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
