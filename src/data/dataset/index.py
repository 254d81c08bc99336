"""Labelled rows: what the manifest says of each image, as far as a split depends on it."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from src.core.errors import AssayError

COLUMNS = ("id", "source", "target", "sha256", "official", "group")


@dataclass(frozen=True)
class DatasetIndex:
    """One entry for each of N images; ``classes`` has K names."""

    classes: list[str]
    ids: NDArray[np.int64]  # (N,)
    sources: list[str]
    targets: NDArray[np.int64]  # (N,) 0 … K-1
    digests: NDArray[np.str_]  # (N,) SHA-256 of the pixels
    official: list[str | None]  # train, val, test or None
    groups: list[str | None]

    def __len__(self) -> int:
        return len(self.targets)

    def counts(self, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Images of each class among the chosen rows (N,); shape (K,)."""
        return np.bincount(self.targets[chosen], minlength=len(self.classes))


def read_index(folder: Path) -> DatasetIndex:
    """Read ``manifest.parquet`` and the names of the classes in ``report.json``."""
    from pyarrow import parquet

    # ParquetFile, not read_table: that would import pandas, for half a second
    columns = parquet.ParquetFile(folder / "manifest.parquet").read(list(COLUMNS)).to_pydict()
    return DatasetIndex(
        classes=json.loads((folder / "report.json").read_text(encoding="utf-8"))["classes"],
        ids=np.array(columns["id"], dtype=np.int64),
        sources=columns["source"],
        targets=np.array(columns["target"], dtype=np.int64),
        digests=np.array(columns["sha256"], dtype=np.str_),
        official=columns["official"],
        groups=columns["group"],
    )


def read_split(folder: Path) -> tuple[NDArray[np.str_], NDArray[np.int64]]:
    """Split (N,) and fold (N,) of each row: see ``src.data.splitting.splits``."""
    from pyarrow import parquet

    columns = parquet.ParquetFile(folder / "splits.parquet").read(["split", "fold"]).to_pydict()
    return np.array(columns["split"], dtype=np.str_), np.array(columns["fold"], dtype=np.int64)


@dataclass(frozen=True)
class HeldOutRows:
    """Validation and test images, n in all."""

    ids: NDArray[np.int64]  # (n,) rows of the image array, ascending
    targets: NDArray[np.int64]  # (n,)
    validation: NDArray[np.bool_]  # (n,); the others are for testing


def read_held_out(ingest: Path, split: Path) -> HeldOutRows:
    """Validation and test rows. Raises AssayError when one of the two has none."""
    rows, (names, _) = read_index(ingest), read_split(split)
    for name in ("val", "test"):
        if name not in names:
            raise AssayError(f"{split / 'splits.parquet'} has no {name} rows. Make it again: dvc repro split")
    held = np.isin(names, ("val", "test"))
    return HeldOutRows(rows.ids[held], rows.targets[held], names[held] == "val")
