"""What compare and benchmark have found out about each variant, put together."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src.core.errors import AssayError
from src.leaderboard.table.rows import BASE, TRACKED, LeaderboardRow, read_rows
from src.registry.policy import Candidate

NAMES = {**TRACKED, "val_accuracy": "val/accuracy"}  # column: name of the figure on a run of MLflow


@dataclass(frozen=True)
class VariantMetrics:
    """One variant: its line of the leaderboard, and how fast it is (empty if it was not timed)."""

    row: LeaderboardRow
    speed: dict[str, float]

    @property
    def name(self) -> str:
        return self.row.name

    def candidate(self) -> Candidate:
        """What the policy may see: nothing of a test image."""
        size = self.row.metrics.get("bytes")
        return Candidate(
            name=self.row.name,
            accuracy_change=self.row.metrics.get("val_change"),
            latency_ms=self.speed.get("latency_ms_p50"),
            bytes=None if size is None else int(size),
            status=self.row.status,
            reason=self.row.reason,
        )

    def metrics(self) -> dict[str, float]:
        """All figures, by their names in MLflow."""
        return {NAMES.get(key, key): value for key, value in self.row.metrics.items()} | self.speed


def read_measured(compare: Path, benchmark: Path) -> tuple[list[VariantMetrics], str]:
    """The variants in the order of the leaderboard, and in words the machine that timed them.

    Raises:
        AssayError: a file is missing or damaged.
    """
    found = _read_benchmark(benchmark / "benchmark.json")
    speeds = {name: _numbers(figures) for name, figures in found["models"].items()}
    rows = [row for row in read_rows(compare / "variants.csv") if row.name != BASE]
    machine, threads = found.get("machine", {}), found.get("threads")
    told = [str(machine[key]) for key in ("cpu", "instructions") if key in machine]
    return [VariantMetrics(row, speeds.get(row.name, {})) for row in rows], ", ".join(
        [*told, f"threads: {threads}"]
    )


def weakest_class(per_class: Path) -> tuple[str, float] | None:
    """The class with the lowest recall, the first of equals; None if there is no such table."""
    if not per_class.is_file():
        return None
    with per_class.open(encoding="utf-8", newline="") as file:
        found = [(line["class"], float(line["recall"])) for line in csv.DictReader(file) if line["recall"]]
    return min(found, key=lambda pair: pair[1], default=None)


def evaluate_figures(path: Path) -> dict[str, float]:
    """What evaluate has said of the base in ``metrics.json``, by its names in MLflow."""
    found: dict[str, float | None] = {}
    for name, told in json.loads(path.read_text(encoding="utf-8")).items():
        if isinstance(told, dict) and "value" in told:  # the other entries say how it was found
            found[f"test/{name}"] = told["value"]
            found |= {f"test/{name}_{end}": told[end] for end in ("low", "high")}
    return {name: value for name, value in found.items() if value is not None}


def _read_benchmark(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise AssayError(f"{path} is missing. Stage benchmark makes it: dvc repro benchmark") from error
    except ValueError as error:
        raise AssayError(f"{path} is damaged: {error}. Make it again: dvc repro benchmark") from error
    return found


def _numbers(figures: dict[str, Any]) -> dict[str, float]:
    return {key: float(value) for key, value in figures.items() if isinstance(value, int | float)}
