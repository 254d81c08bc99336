"""Idx files: ``[train-|val-|t10k-|test-]images-idx3-ubyte[.gz]`` beside ``…labels-idx1-ubyte[.gz]``."""

from pathlib import Path

from src.data import idx
from src.data.catalogue import KNOWN
from src.data.listing import Item, Listing, entries
from src.errors import AssayError

PREFIXES = {"": None, "train-": "train", "val-": "val", "t10k-": "test", "test-": "test"}


def list_idx(folder: Path) -> Listing:
    names = {entry.name for entry in entries(folder)}
    pairs = [(split, *pair) for prefix, split in PREFIXES.items() if (pair := _idx_pair(folder, prefix, names))]
    if not pairs:
        raise AssayError(f"{folder} has no idx files (images-idx3-ubyte.gz or train-images-idx3-ubyte.gz). {_idx_mend(folder)}")
    if len(pairs) > 1 and pairs[0][0] is None:
        raise AssayError(f"{folder} has both {pairs[0][1].name} and {pairs[1][1].name}: which belong together? Remove one pair")
    parts = [(split, images, _labels_of(images, labels)) for split, images, labels in pairs]
    names -= {path.name for _, *pair in pairs for path in pair} | {"classes.txt"}
    classes = _idx_classes(folder, sorted({label for _, _, labels in parts for label in labels}))
    items = [
        Item(f"{images.name}#{row}", classes[label], split)
        for split, images, labels in parts
        for row, label in enumerate(labels)
    ]
    return Listing(list(classes.values()), items, sorted(names), [images for _, images, _ in parts])


def _idx_pair(folder: Path, prefix: str, names: set[str]) -> tuple[Path, Path] | None:
    """The images and labels with this prefix, or None where there is neither."""
    found = [
        next((f"{prefix}{kind}{ending}" for ending in (".gz", "") if f"{prefix}{kind}{ending}" in names), None)
        for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")
    ]
    images, labels = found
    if images and labels:
        return folder / images, folder / labels
    if images or labels:
        lacking = "labels-idx1-ubyte.gz" if images else "images-idx3-ubyte.gz"
        raise AssayError(f"{folder}/{prefix}{lacking} is missing beside {images or labels}. {_idx_mend(folder)}")
    return None


def _labels_of(images: Path, labels: Path) -> list[int]:
    count, values = idx.read_shape(images, 3)[0], idx.read_labels(labels)
    if count != len(values):
        raise AssayError(
            f"{images} holds {count} images, but {labels.name} {len(values)} labels. {_idx_mend(images.parent)}"
        )
    return [int(value) for value in values]


def _idx_classes(folder: Path, labels: list[int]) -> dict[int, str]:
    """{label: name}; the names are the lines of classes.txt, or the numbers themselves."""
    path = folder / "classes.txt"
    if not path.is_file():
        return {label: str(label) for label in labels}
    names = path.read_text(encoding="utf-8").split("\n")
    names = [name.strip() for name in (names[:-1] if names[-1] == "" else names)]
    if "" in names or len(set(names)) < len(names):
        raise AssayError(f"{path} must hold one name a line, none empty and none twice")
    if labels != list(range(len(names))):
        raise AssayError(
            f"{path} names {len(names)} classes, labels 0 to {len(names) - 1}, but the labels that occur are "
            f"{_ranges(labels)}. Name each, or remove the file to use the numbers"
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


def _idx_mend(folder: Path) -> str:
    if folder.name in KNOWN:
        return f"Bring the files: python -m src.fetch {folder.name}"
    return "For images as files, choose data=image_folder or data=csv"
