"""How many images moved to another split since an earlier version of the data."""

from pathlib import Path

from src.data.dataset.index import DatasetIndex
from src.data.splitting.splits import Names

PLACES = ("train", "val", "test")


def count_moved(rows: DatasetIndex, splits: Names, manifest: Path, table: Path) -> tuple[int, int]:
    """Images that are in another split than before, and images that both versions have in one.

    Images are known by the bytes of their files, so a new name is no new image. What was or is left out did
    not move. Of equal files the first counts.

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
    common = earlier.keys() & now.keys()
    return sum(earlier[name] != now[name] for name in common), len(common)


def _first(names: list[str], splits: list[str]) -> dict[str, str]:
    """The split of each image that is in one."""
    found: dict[str, str] = {}
    for name, split in zip(names, splits, strict=True):
        if split in PLACES:
            found.setdefault(name, split)
    return found
