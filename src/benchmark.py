"""Measure latency, throughput and memory of the base and its variants, and draw accuracy against latency.

    dvc repro benchmark                                    with params.yaml, as a part of the pipeline
    python -m src.benchmark benchmark.rounds=15            by hand, into outputs/benchmark/

An observation of this machine: leave it alone meanwhile. Reads reports/compare, models/ and the validation
images; writes reports/benchmark: benchmark.json, leaderboard.csv, leaderboard.md, pareto.png. PyTorch eager
fp32 and ONNX Runtime fp32 are always measured too, as references.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.execution import Execution, execute

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from src.evaluation.leaderboard import Row
    from src.schema import Config

MODELS, INGEST, SPLIT = Path("models"), Path("data/ingest"), Path("data/split")
VARIANTS = Path("reports/compare/variants.csv")


def build(config: Config, run: Execution) -> None:
    """Measure all in one process, write tables and picture, and attach the figures to the models' runs."""
    from src.evaluation.leaderboard import BASE, read_rows
    from src.evaluation.speed import ONNXRUNTIME, join, tracked

    rows = read_rows(VARIANTS)
    found, bytes_of_reference, refusal = _measure(config, run, rows)
    rows = join(rows, found["models"], bytes_of_reference)
    pages = _write(config, run.folder, rows, found, refusal)
    for row in rows:
        if row.name == BASE:
            run.attach("train", tracked(row), figures=pages)
        elif row.reason is None and row.name != ONNXRUNTIME:
            run.attach(f"compress@{row.name}", tracked(row))
    _tell(run, rows, refusal)


def _measure(config: Config, run: Execution, rows: list[Row]) -> tuple[dict[str, Any], int, str | None]:
    """What benchmark.json says, the bytes of the base's export, and why there are no ratios, if so."""
    from tempfile import TemporaryDirectory

    from src.compression.contest import enter, memory_of_all, speedups, time_all
    from src.compression.machine import describe_machine
    from src.compression.timing import Plan
    from src.errors import AssayError
    from src.evaluation.leaderboard import BASE
    from src.evaluation.speed import ONNXRUNTIME
    from src.progress import progress
    from src.training.device import deterministic, resolve_threads

    how, threads, images, refusal = (
        config.benchmark,
        resolve_threads(config.benchmark.threads),
        _images(config),
        None,
    )
    sizes, largest = tuple(how.batch_sizes), max(how.batch_sizes)
    names = [row.name for row in rows if row.name != BASE and row.reason is None]
    with TemporaryDirectory() as folder, deterministic(threads):
        entries = enter(
            MODELS / "base", {name: MODELS / name / "model.onnx" for name in names}, images, Path(folder)
        )
        turns = (how.warmup + how.rounds) * len(entries)
        with progress("Timing", total=turns, show=run.progress) as advance:
            plan = Plan(how.rounds, how.warmup, how.calls, how.batches, sizes)
            timings = time_all(entries, images, plan, threads, advance)
        memory = memory_of_all(entries, images[:largest], threads)
        size = entries[ONNXRUNTIME].path.stat().st_size
    try:
        ratios = speedups(timings, largest)
    except AssayError as error:
        ratios, refusal = {}, str(error)
    figures = {
        name: {**timing.figures(), **memory[name], **ratios.get(name, {})} for name, timing in timings.items()
    }
    settings = how.model_dump(exclude={"threads"})
    return {"threads": threads, **settings, "machine": describe_machine(), "models": figures}, size, refusal


def _images(config: Config) -> NDArray[np.uint8]:
    """Real ones, (n, C, H, W): of the validation rows as many as four of the largest batches take."""
    import numpy as np

    from src.data.labelled_rows import read_split
    from src.data.store import open_array

    largest = max(config.benchmark.batch_sizes)
    rows = np.flatnonzero(read_split(SPLIT)[0] == "val")[: 4 * largest]
    # a small validation split fills a large batch by starting over
    return np.ascontiguousarray(open_array(INGEST / "images.npy")[np.resize(rows, max(len(rows), largest))])


def _write(
    config: Config, folder: Path, rows: list[Row], found: dict[str, Any], refusal: str | None
) -> list[Path]:
    """The files; returns those that go to the run of the base."""
    import json

    from src.evaluation.pareto_figure import draw_pareto
    from src.evaluation.speed import conditions, write_leaderboard, write_leaderboard_csv

    (folder / "benchmark.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    sure, sizes = config.evaluate.confidence, config.benchmark.batch_sizes
    return [
        write_leaderboard(folder / "leaderboard.md", rows, sizes, sure, conditions(found), refusal),
        write_leaderboard_csv(folder / "leaderboard.csv", rows),
        draw_pareto(
            folder / "pareto.png", rows, f"{found['threads']} thread{'s' if found['threads'] > 1 else ''}"
        ),
    ]


def _tell(run: Execution, rows: list[Row], refusal: str | None) -> None:
    for row in rows:
        if row.reason is None:
            speed = row.figures.get("speed_vs_torch")
            times = "" if speed is None else f", {speed:.2f}x PyTorch in batches"
            run.say(f"{row.name}: {row.figures['latency_ms_p50']:.3g} ms for one image{times}")
    if refusal is not None:
        run.say(f"no ratios: {refusal}")


if __name__ == "__main__":
    execute("benchmark", build, __doc__)
