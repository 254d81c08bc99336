"""From a listing of images to the clean array, the manifest and the report."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from src.data.dataset.arrays import compact_rows, create_array, pixel_hash, write_rows
from src.data.ingestion import idx_format
from src.data.ingestion.cleaning import Policy, count_duplicates, find_unusable
from src.data.ingestion.decoding_pool import DecodedImage, decode_files
from src.data.ingestion.listing import Listing
from src.data.ingestion.manifest import write_manifest
from src.serving.decoding import ImageFormat, fit_image

Advance = Callable[[int], None]


@dataclass(frozen=True)
class CleaningPolicy:
    """What to do with an image that cannot be read, and with equal pixels under two labels."""

    on_corrupt: Policy
    on_conflict: Policy


def ingest(
    folder: Path,
    listing: Listing,
    image_format: ImageFormat,
    policy: CleaningPolicy,
    out: Path,
    *,
    workers: int,
    advance: Advance,
) -> dict[str, Any]:
    """Write ``images.npy`` and ``manifest.parquet`` into ``out``; returns the facts for the report.

    Raises ``AssayError`` if the policy says so, or if no image of a class is left.
    """
    array = out / "images.npy"
    create_array(array, (len(listing.items), image_format.channels, image_format.height, image_format.width))
    if listing.arrays:
        outcomes = _copy_arrays(listing, image_format, array, advance)
    else:
        names = [item.source for item in listing.items]
        outcomes = decode_files(folder, names, image_format, array, workers, advance)
    reasons = find_unusable(listing.items, outcomes, policy.on_corrupt, policy.on_conflict)
    compact_rows(array, np.array([reason is None for reason in reasons]))
    kept = [row for row, reason in enumerate(reasons) if reason is None]
    items, outcomes = [listing.items[row] for row in kept], [outcomes[row] for row in kept]
    write_manifest(out / "manifest.parquet", items, outcomes, listing)
    counts = Counter(item.label for item in items)
    return {
        "classes": listing.classes,
        "input": {name: value for name, value in vars(image_format).items() if name != "max_pixels"},
        "images": len(listing.items),
        "kept": len(items),
        "class_counts": {name: counts[name] for name in listing.classes},
        "exact_duplicates": count_duplicates([outcome.digest or "" for outcome in outcomes]),
        "dropped": [
            {"source": item.source, "reason": reason}
            for item, reason in zip(listing.items, reasons, strict=True)
            if reason
        ],
        "ignored": listing.ignored,
    }


def _copy_arrays(
    listing: Listing, image_format: ImageFormat, array: Path, advance: Advance
) -> list[DecodedImage]:
    """Copy the images of the idx files, one file after the other."""
    outcomes: list[DecodedImage] = []
    for source in listing.arrays:
        for block in idx_format.read_images(source, image_format.max_pixels):
            fitted, found = fit_block(block, image_format)
            write_rows(array, len(outcomes), fitted)
            outcomes += found
            advance(len(block))
    return outcomes


def fit_block(
    block: npt.NDArray[np.uint8], image_format: ImageFormat
) -> tuple[npt.NDArray[np.uint8], list[DecodedImage]]:
    """Gray images (n, H, W) of an idx file as (n, C, height, width), and what they were."""
    fitted = _fit_block(block, image_format)
    _, height, width = block.shape
    return fitted, [
        DecodedImage(pixel_hash(image), width, height, original=pixel_hash(original))
        for image, original in zip(fitted, block, strict=True)
    ]


def _fit_block(block: npt.NDArray[np.uint8], image_format: ImageFormat) -> npt.NDArray[np.uint8]:
    """Turn gray images (n, H, W) into (n, C, height, width)."""
    if block.shape[1:] == (image_format.height, image_format.width):
        return np.repeat(block[:, None], image_format.channels, axis=1)
    empty = np.zeros((0, image_format.channels, image_format.height, image_format.width), np.uint8)
    return (
        np.stack([fit_image(Image.fromarray(image), image_format) for image in block])
        if len(block)
        else empty
    )
