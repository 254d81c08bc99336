"""The report on splits: who is where, and what the borders let through."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src.data.leakage import Copy, Near
from src.data.splits import SPLITS, class_counts


@dataclass(frozen=True)
class SplitReport:
    """Composes ``report.json``; all sequences have one entry for each row of the manifest."""

    ids: Sequence[int]
    sources: Sequence[str]
    targets: NDArray[np.int64]
    classes: list[str]
    splits: NDArray[np.str_]
    folds: NDArray[np.int64]

    def counts(self) -> dict[str, Any]:
        """Images by split and class, images by fold and class, and the classes that a split lacks."""
        return {
            "splits": {name: self._part(self.splits == name) for name in (*SPLITS, "dropped")},
            "folds": [self._part(self.folds == fold) for fold in range(self.folds.max() + 1)],
            "missing": [
                {"split": name, "class": self.classes[target]}
                for name in SPLITS
                for target in np.setdiff1d(self.targets, self.targets[self.splits == name]).tolist()
            ],
        }

    def leakage(
        self, copies: Sequence[Copy], near: Sequence[Near], near_count: int, threshold: float
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

    def _part(self, chosen: NDArray[np.bool_]) -> Mapping[str, Any]:
        counts = class_counts(self.targets, self.classes, chosen)
        return {"images": sum(counts.values()), "classes": counts}

    def _row(self, row: int, split: str | None = None) -> Mapping[str, Any]:
        return {
            "id": self.ids[row],
            "source": self.sources[row],
            "class": self.classes[self.targets[row]],
            "split": split or str(self.splits[row]),
        }
