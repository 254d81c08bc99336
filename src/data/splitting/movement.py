"""How many images moved to another split since an earlier version of the data."""

from dataclasses import dataclass
from pathlib import Path

from src.data.dataset.index import DatasetIndex
from src.data.splitting.splits import SPLITS, Names


@dataclass(frozen=True)
class Movement:
    """What happened to the images that were in a split before and are still there.

    Attributes:
        images: their number.
        moved: how many are in another split now.
        left_out: how many are in none.
        test_to_train: how many were test images and are training images now.
    """

    images: int
    moved: int
    left_out: int
    test_to_train: int


def measure_movement(rows: DatasetIndex, splits: Names, manifest: Path, table: Path) -> Movement:
    """Compare the splits of images with those of an earlier version.

    Images are identified by the bytes of their files, so a new name makes no new image. Of equal files in a
    split the first counts.

    Args:
        rows: the N images.
        splits: (N,) their splits.
        manifest: ``manifest.parquet`` of the earlier version.
        table: its ``splits.parquet``.
    """
    from pyarrow import parquet

    columns = parquet.ParquetFile(manifest).read(["file_sha256", "sha256"]).to_pydict()
    same_files = "file_sha256" in columns  # earlier versions of Assay knew the pixels only
    names = rows.originals if same_files else rows.digests.tolist()
    placed = parquet.ParquetFile(table).read(["split"]).to_pydict()["split"]
    earlier = _first(columns["file_sha256" if same_files else "sha256"], placed)
    now = _first(names, splits.tolist())
    pairs = [(earlier[name], now.get(name)) for name in earlier.keys() & set(names)]
    return Movement(
        images=len(pairs),
        moved=sum(after not in (None, before) for before, after in pairs),
        left_out=sum(after is None for _, after in pairs),
        test_to_train=pairs.count(("test", "train")),
    )


def _first(names: list[str], splits: list[str]) -> dict[str, str]:
    """The split of each image that is in one."""
    found: dict[str, str] = {}
    for name, split in zip(names, splits, strict=True):
        if split in SPLITS:
            found.setdefault(name, split)
    return found
