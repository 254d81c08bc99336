"""The images of a data set with their labels, before any pixel is decoded."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from src.core.hashing import IGNORED

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class ImageEntry:
    """One image; ``source`` relative to the data set's folder, ``official`` its own split, if any."""

    source: str
    label: str
    official: str | None = None
    group: str | None = None


@dataclass(frozen=True)
class Listing:
    """``classes`` in the order of the targets; ``items`` in a fixed order; files that nothing reads.

    ``arrays`` are the idx files that hold the items one after the other; empty if each item is a file.
    """

    classes: list[str]
    items: list[ImageEntry]
    ignored: list[str] = field(default_factory=list)
    arrays: list[Path] = field(default_factory=list)


def entries(folder: Path) -> list[os.DirEntry[str]]:
    """What lies in a folder, in the order of the names' code points: the same on every file system."""
    with os.scandir(folder) as found:
        return sorted((entry for entry in found if entry.name not in IGNORED), key=lambda entry: entry.name)
