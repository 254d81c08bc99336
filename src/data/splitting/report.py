"""Splits and folds of a data set, and the report on their sizes and on what would have leaked."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from src.data.dataset.index import DatasetIndex
from src.data.dataset.spec import DataSpec, with_spec
from src.data.splitting.assignment.conflicts import LeftOut
from src.data.splitting.assignment.groups import group_rows
from src.data.splitting.assignment.rule import NO_PAIRS, SplitRule
from src.data.splitting.assignment.stable import unit_names
from src.data.splitting.leakage import LISTED, NearDuplicate, near_duplicates, near_pairs
from src.data.splitting.splits import SPLITS, Division, divide, without_copies

Mask = NDArray[np.bool_]
NearPolicy = Literal["group", "keep", "drop"]


@dataclass(frozen=True)
class SplitSettings:
    """See :func:`src.data.splitting.splits.divide` and the fields of ``split`` and ``data``.

    Attributes:
        method: stable or stratified.
        val: share of the images.
        test: share of the images.
        calibration: share of the images; 0: none.
        folds: their number.
        rare: refuse, train or drop: what happens to classes that are too small.
        near_duplicates: group, keep or drop: what happens to near copies.
        near_threshold: correlation from which two images are near copies.
        seed: same seed, same splits.
    """

    method: Literal["stable", "stratified"]
    val: float
    test: float
    folds: int
    rare: Literal["refuse", "train", "drop"]
    near_duplicates: NearPolicy
    near_threshold: float
    seed: int
    calibration: float = 0.0


@dataclass(frozen=True)
class SplitResult:
    """``columns`` of splits.parquet, the ``rule`` that made them, and the content of ``report``.json."""

    columns: dict[str, Any]
    rule: SplitRule
    report: dict[str, Any]


def split_and_report(
    rows: DatasetIndex, images: NDArray[np.uint8], settings: SplitSettings, show: bool
) -> SplitResult:
    """Split the images.

    Args:
        rows: the N images.
        images: (N, C, H, W) uint8, may be memory-mapped.
        settings: how.
        show: whether to draw progress bars.

    Raises:
        AssayError: see :func:`src.data.splitting.splits.divide`.
    """
    policy, threshold = settings.near_duplicates, settings.near_threshold
    near = NO_PAIRS if policy == "keep" else near_pairs(images, threshold, show)
    without = without_copies(rows, near) if policy == "drop" else []
    rule = SplitRule(settings.method, settings.rare, near if policy == "group" else NO_PAIRS)
    division = divide(
        rows,
        rule,
        val=settings.val,
        test=settings.test,
        calibration=settings.calibration,
        folds=settings.folds,
        seed=settings.seed,
        without=without,
    )
    count, pairs = near_duplicates(images, division.splits, threshold, show) if policy == "keep" else (0, [])
    report = SplitReport(rows, division)
    leakage = {"near_duplicates": policy, "near": {"threshold": threshold, **report.near(pairs, count)}}
    content = {"method": rule.method, "rare": rule.rare, **report.counts()}
    content |= {"left_out": report.left_out(), "merged": report.merged(rule), "leakage": leakage}
    return SplitResult({"id": rows.ids, "split": division.splits, "fold": division.folds}, rule, content)


def write_splits(path: Path, columns: dict[str, Any], data: DataSpec) -> None:
    """Write ``splits.parquet``: id, split, and fold (-1 outside train and val).

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
    division: Division

    def counts(self) -> dict[str, Any]:
        """Images per split and class, images per fold and class, and what is missing."""
        splits, folds, names = self.division.splits, self.division.folds, self.rows.classes
        parts = [name for name in SPLITS if name != "calibration" or name in splits]
        return {
            "given_splits": sorted({name for name in self.rows.given_splits if name is not None}),
            "splits": {name: self._part(splits == name, shares=True) for name in (*parts, "dropped")},
            "folds": [self._part(folds == fold) for fold in range(folds.max() + 1)],
            "in_no_fold": int(((folds < 0) & np.isin(splits, ("train", "val"))).sum()),
            "missing": [
                {"split": name, "class": names[target]}
                for name in parts
                for target in np.flatnonzero(self.rows.counts(splits == name) == 0).tolist()
            ],
            "only_trained": [names[target] for target in self.division.only_trained],
            "dropped_classes": [names[target] for target in self.division.dropped],
        }

    def left_out(self) -> list[dict[str, Any]]:
        """Each row that would have joined two splits, what it shares with a row that stays, and that row."""
        return [self._left(row) for row in self.division.left_out]

    def merged(self, rule: SplitRule) -> dict[str, Any]:
        """Sets of different units that share a side because their images are near copies or equal."""
        units = unit_names(self.rows)
        stays = self.division.splits[rule.near] != "dropped"
        near = rule.near[stays.all(axis=1)]
        joined = group_rows([units, self.rows.digests.tolist()], near)
        sets: dict[int, dict[str, int]] = {}
        for row, (group, split) in enumerate(
            zip(joined.tolist(), self.division.splits.tolist(), strict=True)
        ):
            if split != "dropped":
                sets.setdefault(group, {}).setdefault(units[row], row)
        several = [list(found.values()) for found in sets.values() if len(found) > 1]
        listed = [[self._row(row) for row in found[:LISTED]] for found in several[:LISTED]]
        return {"count": len(several), "units": listed}

    def near(self, near: list[NearDuplicate], count: int) -> dict[str, Any]:
        """The nearest of the pairs that remain across splits."""
        return {
            "count": count,
            "pairs": [
                {
                    "correlation": pair.correlation,
                    "held_out": self._row(pair.held_out),
                    "other": self._row(pair.other),
                }
                for pair in near
            ],
        }

    def _part(self, chosen: Mask, shares: bool = False) -> dict[str, Any]:
        counts = self.rows.counts(chosen).tolist()
        share = {"share": round(sum(counts) / len(self.rows), 4)} if shares else {}
        return {"images": sum(counts), **share, "classes": dict(zip(self.rows.classes, counts, strict=True))}

    def _left(self, row: LeftOut) -> dict[str, Any]:
        place = None if row.place is None else SPLITS[row.place]
        dropped = self._row(row.dropped) | {"split": place}
        return {"because": row.because, "dropped": dropped, "kept": self._row(row.kept)}

    def _row(self, row: int) -> dict[str, Any]:
        return {
            "id": int(self.rows.ids[row]),
            "source": self.rows.sources[row],
            "class": self.rows.classes[self.rows.targets[row]],
            "split": str(self.division.splits[row]),
        }
