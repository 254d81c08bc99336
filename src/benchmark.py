"""Measure latency, throughput and memory of the base and its variants, and draw accuracy against latency.

    dvc repro benchmark                                    with params.yaml, as a stage of the pipeline
    python -m src.benchmark benchmark.rounds=15            an ad-hoc run, into outputs/benchmark/

This measures the machine, so leave it idle. Reads reports/compare, models/ and the validation images.
Writes reports/benchmark: benchmark.json, leaderboard.csv, leaderboard.md, pareto.png. PyTorch eager fp32 and
ONNX Runtime fp32 are always measured, as references.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from src.core.cpus import resolve_threads
from src.core.progress import progress_bar
from src.leaderboard.speed.table import ONNXRUNTIME, add_speed, describe_speed, load_warning, tracked
from src.leaderboard.table.rows import BASE, LeaderboardRow, read_rows
from src.pipeline import paths
from src.pipeline.execution import StageRun, run_stage

if TYPE_CHECKING:
    from pathlib import Path

    from src.config.schema import Config
    from src.leaderboard.speed.benchmark import BenchmarkResult


def build(config: Config, run: StageRun) -> None:
    """Measure all models, write tables and figure, and log the metrics to the runs of the models."""
    from src.leaderboard.speed.publish import publish_benchmark

    rows = read_rows(paths.COMPARE / "variants.csv")
    settings, threads = config.benchmark, resolve_threads(config.benchmark.threads)
    result = _measure(config, run, rows, threads)
    rows = add_speed(rows, result.metrics, result.bytes_of_reference)
    pages = publish_benchmark(run.folder, rows, result, settings, threads, config.evaluate.confidence)
    _log(run, rows, result, pages)


def _measure(config: Config, run: StageRun, rows: list[LeaderboardRow], threads: int) -> BenchmarkResult:
    from src.data.dataset.spec import require_same_data
    from src.leaderboard.speed.benchmark import count_turns, read_images, run_benchmark
    from src.leaderboard.speed.timing import TimingPlan

    plan = TimingPlan.of(config.benchmark)
    names = [row.name for row in rows if row.name != BASE and row.reason is None]
    variants = {name: paths.MODELS / name / "model.onnx" for name in names}
    folders = [path.parent for path in variants.values()]
    data = require_same_data(paths.BASE, paths.INGEST, paths.SPLIT, folders)
    images = read_images(paths.INGEST / "images.npy", paths.SPLIT, max(plan.batch_sizes), data)
    with progress_bar("Timing", total=count_turns(plan, variants), show=run.progress) as advance:
        return run_benchmark(paths.BASE, variants, images, plan, threads, advance)


def _log(run: StageRun, rows: list[LeaderboardRow], result: BenchmarkResult, pages: list[Path]) -> None:

    for row in rows:
        if row.name == BASE:
            run.log_for("train", tracked(row), figures=pages)
        elif row.reason is None and row.name != ONNXRUNTIME:
            run.log_for(f"compress@{row.name}", tracked(row))
        if row.reason is None:
            run.say(describe_speed(row))
    for warning in (result.refusal, load_warning(result.busy_percent)):
        if warning is not None:
            run.say(warning)


if __name__ == "__main__":
    run_stage("benchmark", build, __doc__)
