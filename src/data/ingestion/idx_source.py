"""Idx files: ``[train-|val-|t10k-|test-]images-idx3-ubyte[.gz]`` beside ``…labels-idx1-ubyte[.gz]``."""

from pathlib import Path

from src.core.errors import AssayError
from src.core.wording import counted
from src.data.ingestion import idx_format
from src.data.ingestion.known_datasets import KNOWN_DATASETS
from src.data.ingestion.listing import ImageEntry, Listing, entries, normalized_name

IMAGES, LABELS = "images-idx3-ubyte", "labels-idx1-ubyte"
PREFIXES = {"": None, "train-": "train", "val-": "val", "t10k-": "test", "test-": "test"}


def list_idx(folder: Path) -> Listing:
    """List a data set with this layout. Raises ``AssayError`` if files are missing or damaged."""
    names = {entry.name for entry in entries(folder)}
    pairs = _pairs(folder, names)
    parts = [(split, images, _labels_of(images, labels)) for split, images, labels in pairs]
    names -= {path.name for _, images, labels in pairs for path in (images, labels)} | {"classes.txt"}
    classes = _classes(folder, sorted({label for _, _, labels in parts for label in labels}))
    items = [
        ImageEntry(f"{images.name}#{row}", classes[label], split)
        for split, images, labels in parts
        for row, label in enumerate(labels)
    ]
    return Listing(list(classes.values()), items, sorted(names), [images for _, images, _ in parts])


def _pairs(folder: Path, names: set[str]) -> list[tuple[str | None, Path, Path]]:
    """(given split, images, labels) of each pair of files."""
    pairs = [(split, _pair(folder, prefix, names)) for prefix, split in PREFIXES.items()]
    found = [(split, *pair) for split, pair in pairs if pair]
    if not found:
        raise AssayError(f"{folder} has neither {IMAGES}.gz nor train-{IMAGES}.gz. {_how_to_restore(folder)}")
    if len(found) > 1 and found[0][0] is None:
        first, second = found[0][1].name, found[1][1].name
        raise AssayError(f"{folder} has both {first} and {second}. Remove one of the two pairs")
    return found


def _pair(folder: Path, prefix: str, names: set[str]) -> tuple[Path, Path] | None:
    """Images and labels with this prefix, or None if both are missing."""
    images, labels = _variant(prefix + IMAGES, names), _variant(prefix + LABELS, names)
    if images and labels:
        return folder / images, folder / labels
    if images or labels:
        missing = f"{prefix}{LABELS if images else IMAGES}.gz"
        raise AssayError(
            f"{folder}/{missing}, which belongs to {images or labels}, is missing. {_how_to_restore(folder)}"
        )
    return None


def _variant(name: str, names: set[str]) -> str | None:
    """The name of the file that exists, gzipped or not."""
    return next((candidate for candidate in (f"{name}.gz", name) if candidate in names), None)


def _labels_of(images: Path, labels: Path) -> list[int]:
    count, values = idx_format.read_shape(images, 3)[0], idx_format.read_labels(labels)
    if count != len(values):
        raise AssayError(
            f"{images} has {counted(count, 'image')}, but {labels.name} has {counted(len(values), 'label')}. "
            f"{_how_to_restore(images.parent)}"
        )
    return [int(value) for value in values]


def _classes(folder: Path, labels: list[int]) -> dict[int, str]:
    """{label: name}. The names are the lines of classes.txt or, without it, the numbers."""
    path = folder / "classes.txt"
    if not path.is_file():
        return {label: str(label) for label in labels}
    names = path.read_text(encoding="utf-8").split("\n")
    names = [normalized_name(name.strip()) for name in (names[:-1] if names[-1] == "" else names)]
    if "" in names or len(set(names)) < len(names):
        raise AssayError(f"{path} must have one name per line, with no empty line and no name twice")
    if labels != list(range(len(names))):
        raise AssayError(
            f"{path} names {counted(len(names), 'class')}, for labels 0 to {len(names) - 1}, but the data "
            f"have labels {_ranges(labels)}. Name each of them, or remove the file to use the numbers"
        )
    return dict(enumerate(names))


def _ranges(labels: list[int]) -> str:
    """``0-4, 6, 8-9``."""
    parts: list[list[int]] = []
    for label in labels:
        if parts and label == parts[-1][-1] + 1:
            parts[-1].append(label)
        else:
            parts.append([label])
    return ", ".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)


def _how_to_restore(folder: Path) -> str:
    if folder.name in KNOWN_DATASETS:
        return f"Download the files: python -m src.fetch {folder.name}"
    return "For images as files, choose data=image_folder or data=csv"
