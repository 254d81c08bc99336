"""Writes a benchmark as a folder of tables and a figure."""

from collections.abc import Sequence
from pathlib import Path

from src.config.schema.evaluate import Benchmark
from src.core.files import write_json
from src.core.metric_names import nest
from src.core.wording import counted
from src.leaderboard.speed.benchmark import BenchmarkResult
from src.leaderboard.speed.machine import describe_machine
from src.leaderboard.speed.pareto_plot import draw_pareto
from src.leaderboard.speed.table import conditions, write_leaderboard, write_leaderboard_csv
from src.leaderboard.table.rows import LeaderboardRow


def publish_benchmark(
    folder: Path,
    rows: Sequence[LeaderboardRow],
    result: BenchmarkResult,
    settings: Benchmark,
    threads: int,
    confidence: float,
) -> list[Path]:
    """Write all files into ``folder``; returns those that go to the run of the base.

    Args:
        folder: receives benchmark.json, leaderboard.csv, leaderboard.md and pareto.png.
        rows: of the leaderboard.
        result: what was measured.
        settings: section ``benchmark``.
        threads: of each engine.
        confidence: of the intervals in ``rows``.
    """
    about = {
        "threads": threads,
        **settings.model_dump(exclude={"threads"}),
        "machine": {**describe_machine(), "busy_percent": result.busy_percent},
    }
    models = {name: nest(metrics) for name, metrics in result.metrics.items()}
    write_json(folder / "benchmark.json", {**about, "models": models})
    page, sizes = folder / "leaderboard.md", settings.batch_sizes
    return [
        write_leaderboard(page, rows, sizes, confidence, conditions(about), result.refusal),
        write_leaderboard_csv(folder / "leaderboard.csv", rows),
        draw_pareto(folder / "pareto.png", rows, counted(threads, "thread")),
    ]
