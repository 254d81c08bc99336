"""Measure latency, throughput and memory of the base and its variants, and draw accuracy against latency.

    dvc repro benchmark                                    with params.yaml, as a part of the pipeline
    python -m src.benchmark benchmark.rounds=15            by hand, into outputs/benchmark/

An observation of this machine: leave it alone meanwhile. Reads reports/compare, models/ and the validation
images; writes reports/benchmark: benchmark.json, leaderboard.csv, leaderboard.md, pareto.png. PyTorch eager
fp32 and ONNX Runtime fp32 are always measured too, as references.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from src.pipeline.execution import StageRun, run_stage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from src.config.schema import Config
    from src.leaderboard.speed.benchmark import BenchmarkResult
    from src.leaderboard.table.rows import LeaderboardRow

MODELS, INGEST, SPLIT = Path("models"), Path("data/ingest"), Path("data/split")
VARIANTS = Path("reports/compare/variants.csv")


def build(config: Config, run: StageRun) -> None:
    """Measure all in one process, write tables and picture, and attach the figures to the models' runs."""
    from src.core.cpus import resolve_threads
    from src.leaderboard.speed.table import ONNXRUNTIME, add_speed, tracked
    from src.leaderboard.table.rows import BASE, read_rows

    rows, threads = read_rows(VARIANTS), resolve_threads(config.benchmark.threads)
    outcome = _measure(config, run, rows, threads)
    rows = add_speed(rows, outcome.metrics, outcome.bytes_of_reference)
    pages = _write(config, run.folder, rows, outcome, threads)
    for row in rows:
        if row.name == BASE:
            run.log_for("train", tracked(row), figures=pages)
        elif row.reason is None and row.name != ONNXRUNTIME:
            run.log_for(f"compress@{row.name}", tracked(row))
    _tell(run, rows, outcome)


def _measure(config: Config, run: StageRun, rows: list[LeaderboardRow], threads: int) -> BenchmarkResult:
    from src.core.progress import progress_bar
    from src.leaderboard.speed.benchmark import REFERENCES, run_benchmark
    from src.leaderboard.speed.timing import TimingPlan
    from src.leaderboard.table.rows import BASE

    how, images = config.benchmark, _images(config)
    plan = TimingPlan(how.rounds, how.warmup, how.calls, how.batches, tuple(how.batch_sizes))
    names = [row.name for row in rows if row.name != BASE and row.reason is None]
    files = {name: MODELS / name / "model.onnx" for name in names}
    turns = (how.warmup + how.rounds) * (len(REFERENCES) + len(files))
    with progress_bar("Timing", total=turns, show=run.progress) as advance:
        return run_benchmark(MODELS / "base", files, images, plan, threads, advance)


def _images(config: Config) -> NDArray[np.uint8]:
    """Real ones, (n, C, H, W): of the validation rows as many as four of the largest batches take."""
    import numpy as np

    from src.data.dataset.arrays import open_array
    from src.data.dataset.index import read_split

    largest = max(config.benchmark.batch_sizes)
    rows = np.flatnonzero(read_split(SPLIT)[0] == "val")[: 4 * largest]
    # a small validation split fills a large batch by starting over
    return np.ascontiguousarray(open_array(INGEST / "images.npy")[np.resize(rows, max(len(rows), largest))])


def _write(
    config: Config, folder: Path, rows: list[LeaderboardRow], outcome: BenchmarkResult, threads: int
) -> list[Path]:
    """The files; returns those that go to the run of the base."""
    import json

    from src.leaderboard.speed.machine import describe_machine
    from src.leaderboard.speed.pareto_plot import draw_pareto
    from src.leaderboard.speed.table import conditions, write_leaderboard, write_leaderboard_csv

    how, sure = config.benchmark, config.evaluate.confidence
    machine = {**describe_machine(), "busy_percent": outcome.busy_percent}
    found = {"threads": threads, **how.model_dump(exclude={"threads"}), "machine": machine}
    text = json.dumps({**found, "models": outcome.metrics}, indent=2)
    (folder / "benchmark.json").write_text(text + "\n", encoding="utf-8")
    page = folder / "leaderboard.md"
    return [
        write_leaderboard(page, rows, how.batch_sizes, sure, conditions(found), outcome.refusal),
        write_leaderboard_csv(folder / "leaderboard.csv", rows),
        draw_pareto(folder / "pareto.png", rows, f"{threads} thread{'s' if threads > 1 else ''}"),
    ]


def _tell(run: StageRun, rows: list[LeaderboardRow], outcome: BenchmarkResult) -> None:
    from src.leaderboard.speed.table import load_warning

    for row in rows:
        if row.reason is None:
            speed = row.metrics.get("speed_vs_torch")
            times = "" if speed is None else f", {speed:.2f}x PyTorch in batches"
            run.say(f"{row.name}: {row.metrics['latency_ms_p50']:.3g} ms for one image{times}")
    for warning in (outcome.refusal, load_warning(outcome.busy_percent)):
        if warning is not None:
            run.say(warning)


if __name__ == "__main__":
    run_stage("benchmark", build, __doc__)
