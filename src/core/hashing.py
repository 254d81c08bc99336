"""SHA-256 of files and folders: what "the same bytes" means here."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

IGNORED = {"__pycache__", ".gitignore", ".DS_Store"}


def file_hash(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def json_hash(value: Any) -> str:
    """Hexadecimal SHA-256 of a value's canonical JSON (sorted keys, no blanks)."""
    text = json.dumps(_string_keys(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _string_keys(value: Any) -> Any:
    """As JSON has them: keys of several types, such as the classes 8 and other, cannot be sorted."""
    if isinstance(value, dict):
        return {str(key): _string_keys(inner) for key, inner in value.items()}
    return [_string_keys(inner) for inner in value] if isinstance(value, list | tuple) else value


def hash_tree(folder: Path) -> dict[str, str]:
    """{path relative to the folder, with slashes: SHA-256} of every file below it, sorted by path."""
    return {path.relative_to(folder).as_posix(): file_hash(path) for path in sorted(iter_files(folder))}


def content_hash(path: Path) -> str:
    """SHA-256 of a file, or of the sorted listing of a folder with each file's hash."""
    return json_hash(hash_tree(path)) if path.is_dir() else file_hash(path)


def iter_files(path: Path) -> Iterator[Path]:
    """The file itself, or every file below the folder that belongs to its content."""
    if path.is_file():
        yield path
    for below in path.rglob("*") if path.is_dir() else ():
        if below.is_file() and not IGNORED & set(below.relative_to(path).parts):
            yield below
