"""The images of a data set and their labels, before any pixel is decoded."""

import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from src.core.errors import AssayError
from src.core.files import printable
from src.core.hashing import IGNORED
from src.core.wording import counted

SHOWN = 10  # faults listed in one message; the report lists all
SPLITS = ("train", "val", "test")
ALSO_SPLITS = {"training": "train", "valid": "val", "validation": "val", "dev": "val", "testing": "test"}
COPIES = {
    "__MACOSX",
    "@eaDir",
}  # folders in which archives and file servers keep copies of names and thumbnails
ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")  # that can be read
# Files that are images too: whoever put them there expects them to count, so they count as unreadable.
UNREADABLE_ENDINGS = (
    *(".gif", ".apng", ".tif", ".tiff", ".jfif", ".jpe", ".jp2", ".jxl", ".heic", ".heif", ".avif", ".svg"),
    *(".ico", ".pbm", ".pgm", ".ppm", ".pnm", ".tga", ".psd", ".exr", ".hdr", ".dcm"),
    *(".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2"),
)


@dataclass(frozen=True, slots=True)
class ImageEntry:
    """One image: ``source`` is relative to the folder of the data set, ``given_split`` its split, if any.

    Images of one ``group`` or of one ``subject`` stay together: see `src.data.ingestion.subjects`. ``cells``
    are the image's values in each of the listing's ``columns`` of a table.
    """

    source: str
    label: str
    given_split: str | None = None
    group: str | None = None
    subject: str | None = None
    cells: tuple[str, ...] = ()


@dataclass(frozen=True)
class Listing:
    """``classes`` in the order of the targets, ``items`` in a fixed order, and files that are ``ignored``.

    ``arrays`` are the idx files that hold the items, one after the other; empty if each item is a file.
    ``notes`` say what a person may not have meant. ``columns`` of a table are kept for subgroups.
    """

    classes: list[str]
    items: list[ImageEntry]
    ignored: list[str] = field(default_factory=list)
    arrays: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)


def entries(folder: Path) -> list[os.DirEntry[str]]:
    """The content of a folder, sorted by code points: the same order on every file system."""
    with os.scandir(folder) as found:
        return sorted((entry for entry in found if entry.name not in IGNORED), key=lambda entry: entry.name)


def is_hidden(name: str) -> bool:
    """Whether a file or folder is not meant to be seen: ``.thumbnails``, ``._1.png``, ``__MACOSX``."""
    return name.startswith(".") or name in COPIES


def looks_like_image(name: str) -> bool:
    """Whether a file is an image by its name, even in a format that cannot be read."""
    return name.lower().endswith((*ENDINGS, *UNREADABLE_ENDINGS))


def split_of(name: str) -> str | None:
    """The split that a name means, such as val for Validation; None if it means none."""
    name = name.lower()
    return name if name in SPLITS else ALSO_SPLITS.get(name)


def similar_names(names: Sequence[str]) -> list[str]:
    """A note for names that differ only in case, blanks or Unicode form, such as Cat and cat."""
    alike: dict[str, list[str]] = {}
    for name in names:
        key = unicodedata.normalize("NFKC", name).casefold()
        alike.setdefault("".join(re.split(r"[\s_-]+", key)), []).append(name)
    return [
        f"classes {', '.join(map(repr, found))} have nearly the same name: are they one class?"
        for found in alike.values()
        if len(found) > 1
    ]


def refuse_unwritable(folder: Path, names: Iterable[str]) -> None:
    """Raise ``AssayError`` for names of files that are not UTF-8, which no table can hold."""
    bad = [printable(name) for name in names if not name.isascii() and printable(name) != name]
    if bad:
        raise AssayError(
            f"in {printable(folder)} {counted(len(bad), 'file name')} cannot be read as UTF-8:\n"
            f"{shortened(bad)}\nRename them."
        )


def shortened(lines: Sequence[str]) -> str:
    """The first lines, indented, and the number of the others."""
    shown = [f"  {line}" for line in lines[:SHOWN]]
    return "\n".join(shown + [f"  and {len(lines) - SHOWN} more"] * (len(lines) > SHOWN))


def normalized_name(name: str) -> str:
    """One spelling (Unicode NFC) of a class or group; macOS writes é as two characters, others as one."""
    return unicodedata.normalize("NFC", name)
