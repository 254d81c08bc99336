"""Folders named after the classes: ``CLASS/IMAGE.png`` or ``{train,val,test}/CLASS/IMAGE.png``."""

import os
from pathlib import Path

from src.core.errors import AssayError
from src.data.ingestion.listing import SPLITS, ImageEntry, Listing, entries

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


def list_folder(folder: Path) -> Listing:
    """List a data set of this layout. Raises ``AssayError`` where the layout is another."""
    tops = [entry for entry in entries(folder) if entry.is_dir()]
    if not tops:
        raise AssayError(f"{folder} has no class folders. The layout is {folder}/CLASS/IMAGE.png")
    ignored = _loose_files(folder, folder)
    items: list[ImageEntry] = []
    for official, place in _class_parents(folder, tops):
        ignored += _loose_files(folder, place) if official else []
        for entry in entries(place):
            if entry.is_dir():
                found, others = _list_class(folder, Path(entry.path), official)
                items += found
                ignored += others
    return Listing(sorted({item.label for item in items}), items, sorted(ignored))


def _class_parents(folder: Path, tops: list[os.DirEntry[str]]) -> list[tuple[str | None, Path]]:
    """(official split, folder of class folders). Folders named train, val, test are splits if they hold
    folders: ``train`` may well be a class of vehicles."""
    splits = [top for top in tops if top.name in SPLITS and _holds_folders(Path(top.path))]
    if len(splits) == len(tops):
        return [(split.name, Path(split.path)) for split in splits]
    return [(None, folder)]


def _loose_files(root: Path, folder: Path) -> list[str]:
    files = (Path(entry.path) for entry in entries(folder) if not entry.is_dir())
    return [path.relative_to(root).as_posix() for path in files]


def _list_class(root: Path, folder: Path, official: str | None) -> tuple[list[ImageEntry], list[str]]:
    items, ignored = [], []
    for entry in entries(folder):
        name = f"{folder.relative_to(root).as_posix()}/{entry.name}"
        if entry.is_dir():
            raise AssayError(
                f"{folder}/{entry.name} is a folder inside the class folder {folder.name}. The layouts are "
                f"{root}/CLASS/IMAGE.png and {root}/{{train,val,test}}/CLASS/IMAGE.png"
            )
        if entry.name.lower().endswith(ENDINGS):
            items.append(ImageEntry(name, folder.name, official))
        else:
            ignored.append(name)
    if not items:
        raise AssayError(
            f"{folder} holds no image ({', '.join(ENDINGS)}). Put images of this class there, or remove it"
        )
    return items, ignored


def _holds_folders(folder: Path) -> bool:
    return any(entry.is_dir() for entry in entries(folder))
