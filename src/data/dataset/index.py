"""The index of a data set: label, hashes, given split and group of each image."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from src.core.errors import AssayError
from src.data.dataset.spec import DataSpec, describe_data, read_spec, require_match

COLUMNS = ("id", "source", "target", "sha256", "given_split", "group", "subject", "file_sha256")
CELLS = "csv."  # before the name of a column of labels.csv, in the manifest


@dataclass(frozen=True)
class DatasetIndex:
    """One entry for each of N images; ``classes`` has K names."""

    classes: list[str]
    ids: NDArray[np.int64]  # (N,)
    sources: list[str]
    targets: NDArray[np.int64]  # (N,) 0 … K-1
    digests: NDArray[np.str_]  # (N,) SHA-256 of the pixels
    given_splits: list[str | None]  # train, val, test or None
    group_names: list[str | None]  # images that must stay in one split share a name
    subjects: list[str | None]  # likewise
    originals: list[str]  # SHA-256 of the file that the image was decoded from

    def __len__(self) -> int:
        return len(self.targets)

    def counts(self, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Number of images of each class among the chosen rows (N,), shape (K,)."""
        return np.bincount(self.targets[chosen], minlength=len(self.classes))


def read_index(folder: Path) -> DatasetIndex:
    """Read ``manifest.parquet`` and the names of the classes in ``report.json``."""
    from pyarrow import parquet

    # read_table would import pandas, which takes half a second
    columns = parquet.ParquetFile(folder / "manifest.parquet").read(list(COLUMNS)).to_pydict()
    return DatasetIndex(
        classes=json.loads((folder / "report.json").read_text(encoding="utf-8"))["classes"],
        ids=np.array(columns["id"], dtype=np.int64),
        sources=columns["source"],
        targets=np.array(columns["target"], dtype=np.int64),
        digests=np.array(columns["sha256"], dtype=np.str_),
        given_splits=columns["given_split"],
        group_names=columns["group"],
        # A data set that an earlier version ingested has neither column; an audit may still read it.
        subjects=columns.get("subject", [None] * len(columns["id"])),
        originals=columns.get("file_sha256", columns["sha256"]),
    )


def read_csv_columns(folder: Path) -> dict[str, list[str]]:
    """Read the columns of labels.csv, one value for each of the N images; empty for other sources.

    ``folder`` is that of stage ``ingest``.
    """
    from pyarrow import parquet

    file = parquet.ParquetFile(folder / "manifest.parquet")
    names = [name for name in file.schema_arrow.names if name.startswith(CELLS)]
    return {name.removeprefix(CELLS): cells for name, cells in file.read(names).to_pydict().items()}


def read_split(
    folder: Path, ingest: Path, data: DataSpec | None = None
) -> tuple[NDArray[np.str_], NDArray[np.int64]]:
    """Read split (N,) and fold (N,) of each row: see ``src.data.splitting.splits``.

    Args:
        folder: of stage ``split``.
        ingest: folder of that stage.
        data: what `describe_data` or `describe_split` says of it; None: not known yet.

    Raises:
        AssayError: the images in ``ingest`` are not those that were split.
    """
    from pyarrow import parquet

    table = folder / "splits.parquet"
    require_match((ingest, data or describe_data(ingest)), (folder, read_spec(table)))
    columns = parquet.ParquetFile(table).read(["split", "fold"]).to_pydict()
    return np.array(columns["split"], dtype=np.str_), np.array(columns["fold"], dtype=np.int64)


def read_training_rows(folder: Path, ingest: Path, data: DataSpec | None = None) -> NDArray[np.int64]:
    """Read which rows of the image array are for training, shape (n,); for ``data`` see `read_split`."""
    return np.flatnonzero(read_split(folder, ingest, data)[0] == "train")


@dataclass(frozen=True)
class HeldOutRows:
    """The n images for validation and testing."""

    ids: NDArray[np.int64]  # (n,) rows of the image array, ascending
    targets: NDArray[np.int64]  # (n,)
    validation: NDArray[np.bool_]  # (n,); the others are for testing


def read_held_out(ingest: Path, split: Path, data: DataSpec | None = None) -> HeldOutRows:
    """Read the validation and test rows. Raises ``AssayError`` if either has none.

    For ``data`` see `read_split`.
    """
    rows, (names, _) = read_index(ingest), read_split(split, ingest, data)
    for name in ("val", "test"):
        if name not in names:
            raise AssayError(f"{split / 'splits.parquet'} has no {name} rows. Make it again: dvc repro split")
    held = np.isin(names, ("val", "test"))
    return HeldOutRows(rows.ids[held], rows.targets[held], names[held] == "val")


@dataclass(frozen=True)
class CalibrationRows:
    """The n images to which the temperature and the decision rule are fitted."""

    split: str  # calibration; val if no images were set apart for it
    ids: NDArray[np.int64]  # (n,) rows of the image array, ascending
    targets: NDArray[np.int64]  # (n,)


def read_calibration(ingest: Path, split: Path, data: DataSpec | None = None) -> CalibrationRows:
    """Read the rows that split.calibration set apart, else those for validation.

    For ``data`` see `read_split`.
    """
    rows, (names, _) = read_index(ingest), read_split(split, ingest, data)
    name = "calibration" if "calibration" in names else "val"
    chosen = names == name
    return CalibrationRows(name, rows.ids[chosen], rows.targets[chosen])
