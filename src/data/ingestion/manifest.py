"""``manifest.parquet``: a row for each image in ``images.npy``."""

from collections.abc import Sequence
from pathlib import Path

from src.data.ingestion.decoding_pool import DecodedImage
from src.data.ingestion.listing import ImageEntry, Listing

COMPRESSION = "zstd"


def write_manifest(
    path: Path, items: Sequence[ImageEntry], outcomes: Sequence[DecodedImage], listing: Listing
) -> None:
    """Write the manifest; item (one of the listing's) and outcome n belong to row n of the array.

    Columns: id int64 (0 … n-1), source, label, target int64 (index in the listing's classes), sha256 of the
    pixels, width and height int32 (pixels of the upright original), given_split (train, val, test or null),
    group (or null), subject (or null), file_sha256 of the file as it was found (of an image in an idx file:
    of its pixels there), and csv.NAME for each of the listing's columns.
    """
    import pyarrow as pa
    from pyarrow import parquet

    target = {name: place for place, name in enumerate(listing.classes)}
    columns = {
        "id": pa.array(range(len(items)), pa.int64()),
        "source": pa.array([item.source for item in items], pa.string()),
        "label": pa.array([item.label for item in items], pa.string()),
        "target": pa.array([target[item.label] for item in items], pa.int64()),
        "sha256": pa.array([outcome.digest for outcome in outcomes], pa.string()),
        "width": pa.array([outcome.width for outcome in outcomes], pa.int32()),
        "height": pa.array([outcome.height for outcome in outcomes], pa.int32()),
        "given_split": pa.array([item.given_split for item in items], pa.string()),
        "group": pa.array([item.group for item in items], pa.string()),
        "subject": pa.array([item.subject for item in items], pa.string()),
        "file_sha256": pa.array([outcome.original for outcome in outcomes], pa.string()),
        **{
            f"csv.{name}": pa.array([item.cells[place] for item in items], pa.string())
            for place, name in enumerate(listing.columns)
        },
    }
    parquet.write_table(pa.table(columns), path, compression=COMPRESSION)
