"""The images of a data set and their labels, before any pixel is decoded."""

import os
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

from src.core.hashing import IGNORED

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class ImageEntry:
    """One image: ``source`` is relative to the folder of the data set, ``given_split`` its split, if any.

    Images of one ``group`` or of one ``subject`` stay together: see `src.data.ingestion.subjects`.
    """

    source: str
    label: str
    given_split: str | None = None
    group: str | None = None
    subject: str | None = None


@dataclass(frozen=True)
class Listing:
    """``classes`` in the order of the targets, ``items`` in a fixed order, and files that are ``ignored``.

    ``arrays`` are the idx files that hold the items, one after the other; empty if each item is a file.
    """

    classes: list[str]
    items: list[ImageEntry]
    ignored: list[str] = field(default_factory=list)
    arrays: list[Path] = field(default_factory=list)


def entries(folder: Path) -> list[os.DirEntry[str]]:
    """The content of a folder, sorted by code points: the same order on every file system."""
    with os.scandir(folder) as found:
        return sorted((entry for entry in found if entry.name not in IGNORED), key=lambda entry: entry.name)


def normalized_name(name: str) -> str:
    """One spelling (Unicode NFC) of a class or group; macOS writes é as two characters, others as one."""
    return unicodedata.normalize("NFC", name)
