"""Splits and folds of a data set, and the report on their sizes and on leakage between them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src.data.dataset.index import DatasetIndex
from src.data.dataset.spec import DataSpec, with_spec
from src.data.splitting.leakage import ExactDuplicate, NearDuplicate, near_duplicates
from src.data.splitting.splits import SPLITS, fold_rows, split_rows

Mask = NDArray[np.bool_]


def split_and_report(
    rows: DatasetIndex,
    images: NDArray[np.uint8],
    *,
    val: float,
    test: float,
    folds: int,
    near_duplicate: float,
    seed: int,
    show: bool,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split the images; returns the columns of ``splits.parquet`` and the content of ``report.json``.

    Args:
        rows: the N images.
        images: (N, C, H, W) uint8, may be memory-mapped.
        val: share of all images, unless the data define the split.
        test: likewise.
        folds: number of folds of train and val.
        near_duplicate: correlation from which two images are reported as nearly equal.
        seed: same seed, same splits.
        show: whether to draw progress bars.
    """
    splits, copies = split_rows(rows, val, test, seed)
    numbers = fold_rows(rows, splits, folds, seed)
    count, near = near_duplicates(images, splits, near_duplicate, show)
    report = SplitReport(rows, splits, numbers)
    leakage = report.leakage(copies, near, count, near_duplicate)
    return {"id": rows.ids, "split": splits, "fold": numbers}, report.counts() | {"leakage": leakage}


def write_splits(path: Path, columns: dict[str, Any], data: DataSpec) -> None:
    """Write ``splits.parquet``: id, split (train, val, test or dropped), fold (-1 outside train and val).

    ``data`` says which images were split.
    """
    import pyarrow
    from pyarrow import parquet

    schema = pyarrow.schema([("id", pyarrow.int64()), ("split", pyarrow.string()), ("fold", pyarrow.int64())])
    parquet.write_table(with_spec(pyarrow.table(columns, schema), data), path)


@dataclass(frozen=True)
class SplitReport:
    """Computes the parts of ``report.json``."""

    rows: DatasetIndex
    splits: NDArray[np.str_]  # (N,)
    folds: NDArray[np.int64]  # (N,)

    def counts(self) -> dict[str, Any]:
        """Images per split and class, images per fold and class, and the classes missing from a split."""
        return {
            "given_splits": sorted({name for name in self.rows.given_splits if name is not None}),
            "splits": {name: self._part(self.splits == name) for name in (*SPLITS, "dropped")},
            "folds": [self._part(self.folds == fold) for fold in range(self.folds.max() + 1)],
            "missing": [
                {"split": name, "class": self.rows.classes[target]}
                for name in SPLITS
                for target in np.flatnonzero(self.rows.counts(self.splits == name) == 0).tolist()
            ],
        }

    def leakage(
        self,
        copies: Sequence[ExactDuplicate],
        near: Sequence[NearDuplicate],
        near_count: int,
        threshold: float,
    ) -> dict[str, Any]:
        """The copies that were dropped, and the nearest of the pairs that remain."""
        return {
            "exact": [
                {"dropped": self._row(copy.dropped, copy.split), "kept": self._row(copy.kept)}
                for copy in copies
            ],
            "near": {
                "threshold": threshold,
                "count": near_count,
                "pairs": [
                    {
                        "correlation": pair.correlation,
                        "held_out": self._row(pair.held_out),
                        "other": self._row(pair.other),
                    }
                    for pair in near
                ],
            },
        }

    def _part(self, chosen: Mask) -> dict[str, Any]:
        counts = self.rows.counts(chosen).tolist()
        return {"images": sum(counts), "classes": dict(zip(self.rows.classes, counts, strict=True))}

    def _row(self, row: int, split: str | None = None) -> dict[str, Any]:
        return {
            "id": int(self.rows.ids[row]),
            "source": self.rows.sources[row],
            "class": self.rows.classes[self.rows.targets[row]],
            "split": split or str(self.splits[row]),
        }
