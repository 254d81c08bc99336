"""The results of compare and benchmark for each variant, together."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src.core.errors import AssayError
from src.core.files import read_json
from src.core.metric_names import unnest
from src.leaderboard.table.rows import BASE, LeaderboardRow, read_rows
from src.registry.policy import Candidate


@dataclass(frozen=True)
class VariantMetrics:
    """One variant: its row of the leaderboard, and its speed (empty if it was not timed)."""

    row: LeaderboardRow
    speed: dict[str, float]

    @property
    def name(self) -> str:
        return self.row.name

    @property
    def metrics(self) -> dict[str, float]:
        """All metrics by name."""
        return {**self.row.metrics, **self.speed}

    def candidate(self, validation: Mapping[str, float]) -> Candidate:
        """The variant as the policy sees it, without metrics of test images.

        Args:
            validation: Metrics of validation images that the leaderboard may lack.
        """
        return Candidate.of(self.name, {**validation, **self.metrics}, self.row.reason)


def read_measured(compare: Path, benchmark: Path) -> tuple[list[VariantMetrics], str]:
    """Read the variants in the order of the leaderboard, and a description of the machine that timed them.

    Raises:
        AssayError: A file is missing or damaged.
    """
    found = _read_benchmark(benchmark / "benchmark.json")
    speeds = {name: numbers(metrics) for name, metrics in found["models"].items()}
    rows = [row for row in read_rows(compare / "variants.csv") if row.name != BASE]
    machine, threads = found.get("machine", {}), found.get("threads")
    parts = [str(machine[key]) for key in ("cpu", "instructions") if key in machine]
    measured = [VariantMetrics(row, speeds.get(row.name, {})) for row in rows]
    return measured, ", ".join([*parts, f"threads: {threads}"])


def evaluate_metrics(path: Path) -> dict[str, float]:
    """The metrics of the base on the test images, from the ``metrics.json`` of evaluate."""
    return {name: value for name, value in numbers(read_json(path)).items() if name.startswith("test/")}


def numbers(nested: Mapping[str, Any]) -> dict[str, float]:
    """{name: value} of the metrics in nested JSON that have a value."""
    return {name: value for name, value in unnest(nested).items() if isinstance(value, int | float)}


def _read_benchmark(path: Path) -> dict[str, Any]:
    try:
        return read_json(path)
    except FileNotFoundError as error:
        raise AssayError(f"{path} is missing. Stage benchmark makes it: dvc repro benchmark") from error
    except ValueError as error:
        raise AssayError(f"{path} is damaged: {error}. Make it again: dvc repro benchmark") from error
