"""Folders named after the classes: ``CLASS/IMAGE.png`` or ``{train,val,test}/CLASS/IMAGE.png``.

Hidden files and folders (``.thumbnails``, ``.ipynb_checkpoints``, ``._1.png``) are listed as ignored.
"""

import os
from pathlib import Path

from src.core.errors import AssayError
from src.data.ingestion.listing import SPLITS, ImageEntry, Listing, entries, normalized_name

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


def list_folder(folder: Path) -> Listing:
    """List a data set with this layout. Raises ``AssayError`` if it has another."""
    tops = [entry for entry in entries(folder) if _is_class(entry)]
    if not tops:
        raise AssayError(f"{folder} has no class folders. The layout is {folder}/CLASS/IMAGE.png")
    ignored = _other_entries(folder, folder)
    items: list[ImageEntry] = []
    for given_split, place in _class_parents(folder, tops):
        ignored += _other_entries(folder, place) if given_split else []
        for entry in entries(place):
            if _is_class(entry):
                found, others = _list_class(folder, Path(entry.path), given_split)
                items += found
                ignored += others
    return Listing(sorted({item.label for item in items}), items, sorted(ignored))


def _class_parents(folder: Path, tops: list[os.DirEntry[str]]) -> list[tuple[str | None, Path]]:
    """(given split, folder of class folders). Folders named train, val and test are splits if they contain
    folders: ``train`` may well be a class of vehicles."""
    splits = [top for top in tops if top.name in SPLITS and _holds_folders(Path(top.path))]
    if len(splits) == len(tops):
        return [(split.name, Path(split.path)) for split in splits]
    return [(None, folder)]


def _is_class(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir() and not entry.name.startswith(".")


def _other_entries(root: Path, folder: Path) -> list[str]:
    """Files and hidden folders beside the class folders; folders end with a slash."""
    return [_name(root, entry) for entry in entries(folder) if not _is_class(entry)]


def _name(root: Path, entry: os.DirEntry[str]) -> str:
    return Path(entry.path).relative_to(root).as_posix() + "/" * entry.is_dir()


def _list_class(root: Path, folder: Path, given_split: str | None) -> tuple[list[ImageEntry], list[str]]:
    items, ignored = [], []
    for entry in entries(folder):
        name = _name(root, entry)
        if _is_class(entry):
            raise AssayError(
                f"{folder}/{entry.name} is a folder inside the class folder {folder.name}. The layouts are "
                f"{root}/CLASS/IMAGE.png and {root}/{{train,val,test}}/CLASS/IMAGE.png"
            )
        if entry.name.lower().endswith(ENDINGS) and not entry.name.startswith("."):
            items.append(ImageEntry(name, normalized_name(folder.name), given_split))
        else:
            ignored.append(name)
    if not items:
        raise AssayError(
            f"{folder} has no images ({', '.join(ENDINGS)}). Put images of this class there, or remove it"
        )
    return items, ignored


def _holds_folders(folder: Path) -> bool:
    return any(_is_class(entry) for entry in entries(folder))
