"""From a listing of images to the clean array, the manifest and the report."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from src.data import idx
from src.data.cleaning import Conflict, count_duplicates, describe_conflict, find_conflicts, refuse_conflicts
from src.data.decoding import Form, Pixels, fit_image
from src.data.decoding_pool import Outcome, decode_files
from src.data.listing import Item, Listing
from src.data.manifest import write_manifest
from src.data.store import create_array, keep_rows, pixel_hash, write_rows
from src.errors import AssayError

Policy = Literal["drop", "fail"]
Advance = Callable[[int], None]
SHOWN = 10  # unreadable images in a message; the report lists all


@dataclass(frozen=True)
class Ingested:
    """What came out; ``dropped`` holds (source, reason)."""

    items: list[Item]
    outcomes: list[Outcome]
    dropped: list[tuple[str, str]]
    conflicts: list[str]


def ingest(
    folder: Path,
    listing: Listing,
    form: Form,
    out: Path,
    *,
    on_corrupt: Policy,
    on_conflict: Policy,
    workers: int,
    advance: Advance,
) -> Ingested:
    """Fill ``out`` with ``images.npy`` and ``manifest.parquet``.

    Raises ``AssayError`` if a policy says so or a class is left without images.
    """
    array = out / "images.npy"
    create_array(array, (len(listing.items), form.channels, form.height, form.width))
    outcomes = _decode(folder, listing, form, array, workers, advance)
    reasons = [outcome.reason for outcome in outcomes]
    if on_corrupt == "fail":
        _refuse_unreadable(folder, listing.items, reasons)
    conflicts = _conflicts(listing.items, outcomes)
    described = _describe(conflicts, listing.items)
    if on_conflict == "fail":
        refuse_conflicts(described)
    for conflict, text in zip(conflicts, described, strict=True):
        for row in conflict.rows:
            reasons[row] = f"the same pixels under more than one label: {text}"
    return _publish(listing, outcomes, reasons, described, out)
