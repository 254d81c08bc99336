"""The report on splits: who is where, and what the borders let through."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src.data.dataset.index import DatasetIndex
from src.data.splitting.leakage import ExactDuplicate, NearDuplicate
from src.data.splitting.splits import SPLITS

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class SplitReport:
    """Composes the parts of ``report.json``."""

    rows: DatasetIndex
    splits: NDArray[np.str_]  # (N,)
    folds: NDArray[np.int64]  # (N,)

    def counts(self) -> dict[str, Any]:
        """Images by split and class, images by fold and class, and the classes that a split lacks."""
        return {
            "official": sorted({name for name in self.rows.official if name is not None}),
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
        """Copies that were dropped, and the nearest of the pairs that were left."""
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
