"""Folders named after the classes: ``CLASS/IMAGE.png`` or ``{train,val,test}/CLASS/IMAGE.png``.

Hidden files and folders (``.thumbnails``, ``.ipynb_checkpoints``, ``._1.png``) are listed as ignored.
"""

import difflib
import os
from collections.abc import Sequence
from pathlib import Path

from src.core.errors import AssayError
from src.core.files import printable
from src.data.ingestion.listing import (
    ALSO_SPLITS,
    ENDINGS,
    SPLITS,
    ImageEntry,
    Listing,
    entries,
    is_hidden,
    looks_like_image,
    normalized_name,
    shortened,
    split_of,
)

ClassFolder = tuple[str | None, Path]  # its given split, if any, and its path


def list_folder(folder: Path) -> Listing:
    """List a data set with this layout. Raises ``AssayError`` if it has another."""
    tops = [entry for entry in entries(folder) if _is_class(entry)]
    if not tops:
        raise AssayError(f"{folder} has no class folders. The layout is {folder}/CLASS/IMAGE.png")
    splits = _given_splits(folder, tops)
    parents: list[ClassFolder] = [*splits] or [(None, folder)]
    classes = [
        (split, Path(entry.path)) for split, place in parents for entry in entries(place) if _is_class(entry)
    ]
    _refuse_unusable(folder, classes)
    items = [
        ImageEntry(_name(folder, entry), normalized_name(place.name), split)
        for split, place in classes
        for entry in entries(place)
        if _is_image(entry)
    ]
    above = (entry for place in (folder, *(place for _, place in splits)) for entry in entries(place))
    within = (entry for _, place in classes for entry in entries(place))
    ignored = [entry for entry in above if not _is_class(entry)]
    ignored += [entry for entry in within if not _is_image(entry)]
    notes = [f"{place.name}/ is read as the split {split}" for split, place in splits if place.name != split]
    return Listing(
        sorted({item.label for item in items}),
        items,
        sorted(printable(_name(folder, entry)) for entry in ignored),
        notes=notes,
    )


def _given_splits(folder: Path, tops: Sequence[os.DirEntry[str]]) -> list[tuple[str, Path]]:
    """The folders of the splits, if the data give them.

    They count as splits only if they contain folders: ``train`` may well be a class of vehicles.
    """
    found = {top.name: split for top in tops if (split := split_of(top.name)) and _holds_folders(top)}
    if not found:
        return []
    others = [top.name for top in tops if top.name not in found]
    if others:
        raise AssayError(
            f"{folder} has folders of splits with class folders in them ({', '.join(found)}), so the folders "
            f"beside them must be splits too, but {' and '.join(map(_question, others))} is not. Name splits "
            f"{', '.join(SPLITS)}; if {next(iter(found))} is a class, move the images in its folders up"
        )
    for split in SPLITS:
        same = [name for name, meant in found.items() if meant == split]
        if len(same) > 1:
            raise AssayError(f"{folder}: {' and '.join(same)} both mean the split {split}. Keep one")
    return [(split, folder / name) for name, split in found.items()]


def _question(name: str) -> str:
    """The name, with the split that may be meant."""
    near = difflib.get_close_matches(name.lower(), (*SPLITS, *ALSO_SPLITS), n=1)
    return f"{name} (did you mean {split_of(near[0])}?)" if near else name


def _refuse_unusable(root: Path, classes: Sequence[ClassFolder]) -> None:
    """Name all folders inside class folders, and all class folders without an image."""
    faults = [
        f"{entry.path} is a folder inside the class folder {place.name}: move its images up"
        for _, place in classes
        for entry in entries(place)
        if _is_class(entry)
    ]
    faults += [
        f"{place} has no images ({', '.join(ENDINGS)}). Put images of this class there, or remove it"
        for _, place in classes
        if not any(_is_image(entry) or _is_class(entry) for entry in entries(place))
    ]
    if faults:
        raise AssayError(
            f"{root} cannot be used:\n{shortened(faults)}\nThe layouts are {root}/CLASS/IMAGE.png and "
            f"{root}/{{train,val,test}}/CLASS/IMAGE.png"
        )


def _is_class(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir() and not is_hidden(entry.name)


def _is_image(entry: os.DirEntry[str]) -> bool:
    return not entry.is_dir() and not is_hidden(entry.name) and looks_like_image(entry.name)


def _name(root: Path, entry: os.DirEntry[str]) -> str:
    return Path(entry.path).relative_to(root).as_posix() + "/" * entry.is_dir()


def _holds_folders(top: os.DirEntry[str]) -> bool:
    return any(_is_class(entry) for entry in entries(Path(top.path)))
