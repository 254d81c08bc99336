"""The lines of the leaderboard, and the file that holds them."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from src.core.csv_files import write_csv

BASE = "base"
TEXTS = ("variant", "status", "reason", "steps")
CHOOSE = ("val_accuracy", "val_change", "val_change_low", "val_change_high", "val_mcnemar_p")
REPORT = (
    *("test_accuracy", "test_accuracy_low", "test_accuracy_high"),
    *("test_change", "test_change_low", "test_change_high", "test_mcnemar_p"),
)
SIZES = ("bytes", "gzip_bytes", "size_ratio", "parameters", "nonzero_parameters", "sparsity", "macs")
FIGURES = (*CHOOSE, *REPORT, "agreement", "calibration_error", *SIZES)
# What this page adds to what compress has told of a variant, by its name on every run.
TRACKED = {
    "val_change": "val/accuracy_change",
    "val_change_low": "val/accuracy_change_low",
    "val_change_high": "val/accuracy_change_high",
    "val_mcnemar_p": "val/mcnemar_p",
    "test_accuracy": "test/accuracy",
    "test_accuracy_low": "test/accuracy_low",
    "test_accuracy_high": "test/accuracy_high",
    "test_change": "test/accuracy_change",
    "test_change_low": "test/accuracy_change_low",
    "test_change_high": "test/accuracy_change_high",
    "test_mcnemar_p": "test/mcnemar_p",
    "calibration_error": "test/calibration_error",
}
# Of the base nobody has told these yet; its test figures come from evaluate.
TRACKED_OF_BASE = {name: name for name in SIZES if name != "size_ratio"}


@dataclass(frozen=True)
class LeaderboardRow:
    """A line of the leaderboard; a figure that is undefined or unknown is absent."""

    name: str
    steps: tuple[str, ...]
    metrics: dict[str, float]
    reason: str | None = None  # of a variant that failed, which has no figures

    @property
    def status(self) -> str:
        return "ok" if self.reason is None else "failed"

    def tracked(self) -> dict[str, float]:
        """The figures by their names on the run of the model."""
        names = TRACKED_OF_BASE if self.name == BASE else TRACKED
        return {names[key]: value for key, value in self.metrics.items() if key in names}


def write_rows(path: Path, rows: Sequence[LeaderboardRow], figures: Sequence[str] = FIGURES) -> None:
    """One line a row; what is unknown is left blank."""
    lines = (
        [row.name, row.status, row.reason, " > ".join(row.steps), *(row.metrics.get(key) for key in figures)]
        for row in rows
    )
    write_csv(path, [*TEXTS, *figures], lines)


def read_rows(path: Path) -> list[LeaderboardRow]:
    """What :func:`write_rows` wrote."""
    with path.open(encoding="utf-8", newline="") as file:
        return [_row(line) for line in csv.DictReader(file)]


def _row(line: dict[str, str]) -> LeaderboardRow:
    figures = {key: _number(text) for key, text in line.items() if key not in TEXTS and text}
    steps = tuple(filter(None, line["steps"].split(" > ")))
    return LeaderboardRow(line["variant"], steps, figures, line["reason"] or None)


def _number(text: str) -> float:
    return int(text) if text.isdigit() else float(text)
