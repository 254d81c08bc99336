"""The rows of the leaderboard, and the file that holds them: its columns have the names of the metrics."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from src.core.csv_files import write_csv
from src.core.metric_names import with_limits

BASE = "base"
TEXTS = ("variant", "status", "reason", "steps")
CHANGE = "{}/accuracy/change"  # of a split, against the base
# Choose by these; test metrics are only reported.
CHOOSE = ("val/accuracy", *with_limits(CHANGE.format("val")), "val/mcnemar_p", "val/agreement")
REPORT = (
    *with_limits("test/accuracy"),
    "test/recall_min",
    *with_limits(CHANGE.format("test")),
    "test/mcnemar_p",
    "test/calibration_error",
)
RATIO = "model/size_ratio"
SIZES = (
    *("model/bytes", "model/gzip_bytes", RATIO, "model/parameters", "model/nonzero_parameters"),
    *("model/sparsity", "model/macs"),
)
METRICS = (*CHOOSE, *REPORT, *SIZES)
# The run of a variant has these from stage compress. The run of the base has its accuracy from train and
# evaluate, but not its size.
KNOWN = {"val/accuracy", "val/agreement", *SIZES} - {RATIO}


@dataclass(frozen=True)
class LeaderboardRow:
    """One model; a metric that is undefined or unknown is absent."""

    name: str
    steps: tuple[str, ...]
    metrics: dict[str, float]
    reason: str | None = None  # of a variant that failed, which has no metrics

    @property
    def status(self) -> str:
        return "ok" if self.reason is None else "failed"

    def tracked(self) -> dict[str, float]:
        """The metrics that the run of the model does not have from another stage."""
        wanted = set(SIZES) - {RATIO} if self.name == BASE else set(METRICS) - KNOWN
        return {name: value for name, value in self.metrics.items() if name in wanted}


def write_rows(path: Path, rows: Sequence[LeaderboardRow], metrics: Sequence[str] = METRICS) -> None:
    """Write one line per row; unknown values are blank."""
    lines = (
        [row.name, row.status, row.reason, " > ".join(row.steps), *map(row.metrics.get, metrics)]
        for row in rows
    )
    write_csv(path, [*TEXTS, *metrics], lines)


def read_rows(path: Path) -> list[LeaderboardRow]:
    """Read what :func:`write_rows` wrote."""
    with path.open(encoding="utf-8", newline="") as file:
        return [_row(line) for line in csv.DictReader(file)]


def _row(line: dict[str, str]) -> LeaderboardRow:
    metrics = {name: _number(text) for name, text in line.items() if name not in TEXTS and text}
    steps = tuple(filter(None, line["steps"].split(" > ")))
    return LeaderboardRow(line["variant"], steps, metrics, line["reason"] or None)


def _number(text: str) -> float:
    return int(text) if text.isdigit() else float(text)
