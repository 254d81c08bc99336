"""The leaderboard with what was measured of the models: latency, throughput, memory."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from src.leaderboard.table.markdown import (
    HONEST,
    Column,
    Figures,
    chains,
    change,
    count,
    failures,
    percent,
    round_to,
    share,
    table,
    write_page,
)
from src.leaderboard.table.rows import BASE, FIGURES, LeaderboardRow, write_rows

TORCH, ONNXRUNTIME = "torch_fp32", "onnxruntime_fp32"  # the references
RATIOS = {TORCH: "speed_vs_torch", ONNXRUNTIME: "speed_vs_onnxruntime"}

TRACKED = ("latency_ms_p50", "latency_ms_p95", "throughput_", "peak_memory_mb")  # how their names begin

QUIET = 15.0  # percent of the processor that others may use

Measured = Mapping[str, Mapping[str, float]]  # name of a model -> its figures


def add_speed(
    rows: Sequence[LeaderboardRow], measured: Measured, bytes_of_reference: int
) -> list[LeaderboardRow]:
    """The rows with what was measured; ONNX Runtime's reference gets one of its own, after the base.

    It is the base's export, so its accuracy is not asked for again.
    """
    names = {row.name: TORCH if row.name == BASE else row.name for row in rows}
    joined = [
        LeaderboardRow(row.name, row.steps, {**row.metrics, **measured.get(names[row.name], {})}, row.reason)
        for row in rows
    ]
    reference = LeaderboardRow(
        ONNXRUNTIME, ("export",), {"bytes": bytes_of_reference, **measured[ONNXRUNTIME]}
    )
    return [*joined[:1], reference, *joined[1:]]


def tracked(row: LeaderboardRow) -> dict[str, float]:
    """What was measured, by its names on the run of the model."""
    return {
        name: value
        for name, value in row.metrics.items()
        if name.startswith(TRACKED) and not name.endswith(("_low", "_high"))
    }


def load_warning(busy_percent: float) -> str | None:
    """What is to be said if other processes are at work."""
    if busy_percent <= QUIET:
        return None
    return (
        f"other processes use {busy_percent:.0f}% of this machine, and the figures will be off: leave it "
        "alone, and repeat with dvc repro --force --single-item benchmark"
    )


def conditions(found: Mapping[str, Any]) -> str:
    """A sentence on what the figures of ``benchmark.json`` were measured on, and how."""
    machine = found["machine"]
    return (
        f"{machine['cpu']} ({machine['instructions']}), of which others used {machine['busy_percent']:.0f}% "
        f"just before; threads: {found['threads']}, {found['rounds']} rounds after {found['warmup']} that "
        f"were dropped; PyTorch {machine['torch']}, ONNX Runtime "
        f"{machine['onnxruntime']}. Another machine has other figures."
    )


def write_leaderboard_csv(path: Path, rows: Sequence[LeaderboardRow]) -> Path:
    """The columns of variants.csv, then all that was measured."""
    found = dict.fromkeys(key for row in rows for key in row.metrics if key not in FIGURES)
    write_rows(path, rows, [*FIGURES, *found])
    return path


def write_leaderboard(
    path: Path,
    rows: Sequence[LeaderboardRow],
    batch_sizes: Sequence[int],
    confidence: float,
    conditions: str,
    refusal: str | None,
) -> Path:
    """For people: accuracy, size and speed side by side.

    ``conditions`` says what it was measured on and how, ``refusal`` why there are no ratios.
    """
    sure = f"{100 * confidence:.4g}%"
    ratios = [_ratio("× PyTorch", RATIOS[TORCH]), _ratio("× ONNX Runtime", RATIOS[ONNXRUNTIME])]
    columns: list[Column] = [
        ("Validation", lambda f: share(f, "val_accuracy")),
        (f"Change, points ({sure})", lambda f: change(f, "val")),
        ("Test", lambda f: share(f, "test_accuracy")),
        (f"Change, points ({sure})", lambda f: change(f, "test")),
        ("Bytes", lambda f: count(f, "bytes")),
        ("gzip bytes", lambda f: count(f, "gzip_bytes")),
        ("Sparsity", lambda f: percent(f, "sparsity")),
        ("p50, ms", lambda f: _milliseconds(f, "latency_ms_p50")),
        ("p95, ms", lambda f: _milliseconds(f, "latency_ms_p95")),
        *(_throughput(size) for size in batch_sizes),
        *([] if refusal else ratios),
        ("Peak, MiB", lambda f: count(f, "peak_memory_mb")),
    ]
    write_page(
        path,
        [
            "# Leaderboard",
            table(rows, columns),
            "![Validation accuracy against latency](pareto.png)",
            chains([row for row in rows if row.name != ONNXRUNTIME]),
            *failures(rows),
            *_notes(batch_sizes, sure, conditions, refusal),
        ],
    )
    return path


def _notes(batch_sizes: Sequence[int], sure: str, conditions: str, refusal: str | None) -> list[str]:
    largest = max(batch_sizes)
    pairs = (
        f"× PyTorch and × ONNX Runtime: images a second in batches of {largest}, against the same round of "
        f"`{BASE}` and of `{ONNXRUNTIME}`; median of the rounds (least to greatest)."
    )
    return [
        conditions,
        f"`{BASE}` is the fp32 network in PyTorch's eager mode, `{ONNXRUNTIME}` its export in ONNX Runtime; "
        "all others run in ONNX Runtime too. p50 and p95: of all calls with one image. Images a second: by "
        "the median batch of each round, median of the rounds (least to greatest). Peak: what a fresh "
        f"process holds at most that loads the model and answers {largest} images, Python and "
        "the engine included.",
        f"No ratios of speeds: {refusal}" if refusal else pairs,
        f"Changes are against the base on the same images, with the {sure} limits of a paired bootstrap. "
        f"Choose by the validation figures: the test figures are only reported. {HONEST}",
    ]


def _throughput(size: int) -> Column:
    return f"Images/s, {size}", lambda figures: _with_spread(figures, f"throughput_{size}", 3)


def _ratio(heading: str, key: str) -> Column:
    return heading, lambda figures: _with_spread(figures, key, 2)


def _with_spread(figures: Figures, key: str, digits: int) -> str:
    if key not in figures:
        return "–"
    value, low, high = (round_to(figures[f"{key}{end}"], digits) for end in ("", "_low", "_high"))
    return f"{value} ({low} to {high})"


def _milliseconds(figures: Figures, key: str) -> str:
    return round_to(figures[key], 3) if key in figures else "–"
