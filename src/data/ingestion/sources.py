"""Lists a data set in ``data/raw/NAME``: idx files, folders named after the classes, or a CSV file."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

from src.core.errors import AssayError
from src.core.hashing import IGNORED
from src.data.ingestion.csv_source import column_names, list_csv
from src.data.ingestion.folder_source import list_folder
from src.data.ingestion.idx_source import list_idx
from src.data.ingestion.known_datasets import KNOWN_DATASETS
from src.data.ingestion.listing import Listing, refuse_unwritable, similar_names
from src.data.ingestion.subjects import with_subjects

Source = Literal["idx", "image_folder", "csv"]
LAYOUTS = {"idx": list_idx, "image_folder": list_folder}


def read_listing(folder: Path, source: Source, subject: str | None = None) -> Listing:
    """List the data set in ``folder``. Raises ``AssayError`` if it is not usable for training.

    Args:
        folder: ``data/raw/NAME``.
        source: how it is laid out.
        subject: a column of labels.csv, or a pattern: see :func:`src.data.ingestion.subjects.with_subjects`.
    """
    _refuse_empty(folder)
    listing = list_csv(folder, subject) if source == "csv" else LAYOUTS[source](folder)
    if subject is not None and not (source == "csv" and subject in column_names(folder)):
        listing = with_subjects(listing, subject)
    if len(listing.classes) < 2:
        raise AssayError(
            f"{folder} has only one class ({listing.classes[0]}), but classification needs two. "
            f"Add images of another class, in the layout of data.source={source}."
        )
    refuse_unwritable(folder, (item.source for item in listing.items))
    return replace(listing, notes=[*listing.notes, *similar_names(listing.classes)])


def _refuse_empty(folder: Path) -> None:
    if folder.is_dir() and any(entry.name not in IGNORED for entry in folder.iterdir()):
        return
    state = "is empty" if folder.is_dir() else "is missing" if not folder.exists() else "is not a folder"
    if folder.name in KNOWN_DATASETS:
        fix = f"Download the data: python -m src.fetch {folder.name}"
    else:
        fix = f"Put your images there, then: dvc add {folder}"
    raise AssayError(f"{folder} {state}. {fix}")
