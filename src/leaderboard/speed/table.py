"""The leaderboard with what was measured on this machine: latency, throughput, memory."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from src.leaderboard.table.markdown import (
    SPARSITY_NOTE,
    WEAKEST,
    Column,
    change,
    count,
    failures,
    percent,
    rounded,
    share,
    steps,
    table,
    with_spread,
    write_page,
)
from src.leaderboard.table.rows import BASE, METRICS, LeaderboardRow, write_rows

TORCH, ONNXRUNTIME = "torch_fp32", "onnxruntime_fp32"  # the references
RATIOS = {TORCH: "speed/vs_torch", ONNXRUNTIME: "speed/vs_onnxruntime"}
SCOPE = "speed/"  # of all metrics that a benchmark measures
QUIET = 15.0  # percent of the processor that others may use

Measured = Mapping[str, Mapping[str, float]]  # name of a model -> its metrics


def add_speed(
    rows: Sequence[LeaderboardRow], measured: Measured, bytes_of_reference: int
) -> list[LeaderboardRow]:
    """The rows with what was measured; ONNX Runtime's reference gets a row of its own, after the base.

    It is the base's export, so its accuracy is not computed again.
    """
    names = {row.name: TORCH if row.name == BASE else row.name for row in rows}
    joined = [
        LeaderboardRow(row.name, row.steps, {**row.metrics, **measured.get(names[row.name], {})}, row.reason)
        for row in rows
    ]
    metrics = {"model/bytes": bytes_of_reference, **measured[ONNXRUNTIME]}
    reference = LeaderboardRow(ONNXRUNTIME, ("export",), metrics)
    return [*joined[:1], reference, *joined[1:]]


def tracked(row: LeaderboardRow) -> dict[str, float]:
    """The measured metrics that go to the run of the model: no ratios to other models, and no limits."""
    return {
        name: value
        for name, value in row.metrics.items()
        if name.startswith(SCOPE)
        and not name.startswith(tuple(RATIOS.values()))
        and not name.endswith(("/low", "/high"))
    }


def describe_speed(row: LeaderboardRow) -> str:
    """One line for the terminal."""
    factor = row.metrics.get(RATIOS[TORCH])
    relative = "" if factor is None else f", {factor:.2f}x PyTorch in batches"
    return f"{row.name}: {row.metrics['speed/latency_p50_ms']:.3g} ms for one image{relative}"


def load_warning(busy_percent: float) -> str | None:
    """A warning if other processes use the machine."""
    if busy_percent <= QUIET:
        return None
    return (
        f"other processes use {busy_percent:.0f}% of this machine, which distorts the measurements: wait "
        "until it is idle, then repeat with dvc repro --force --single-item benchmark"
    )


def conditions(measured: Mapping[str, Any]) -> str:
    """A sentence on the machine and the settings in ``benchmark.json``."""
    machine = measured["machine"]
    return (
        f"{machine['cpu']} ({machine['instructions']}), {machine['busy_percent']:.0f}% busy with other "
        f"processes just before; threads: {measured['threads']}, {measured['rounds']} rounds after "
        f"{measured['warmup']} for warm-up; PyTorch {machine['torch']}, ONNX Runtime "
        f"{machine['onnxruntime']}. Results differ between machines."
    )


def write_leaderboard_csv(path: Path, rows: Sequence[LeaderboardRow]) -> Path:
    """Write the columns of variants.csv, then everything that was measured."""
    measured = dict.fromkeys(name for row in rows for name in row.metrics if name not in METRICS)
    write_rows(path, rows, [*METRICS, *measured])
    return path


def write_leaderboard(
    path: Path,
    rows: Sequence[LeaderboardRow],
    batch_sizes: Sequence[int],
    confidence: float,
    conditions: str,
    refusal: str | None,
) -> Path:
    """Write accuracy, size and speed side by side, for people.

    Args:
        path: the Markdown file.
        rows: of all models.
        batch_sizes: that were measured.
        confidence: of the intervals.
        conditions: the machine and the settings, in words.
        refusal: why there are no ratios of speeds; None if there are.
    """
    sure = f"{100 * confidence:.4g}%"
    ratios = [_ratio("× PyTorch", RATIOS[TORCH]), _ratio("× ONNX Runtime", RATIOS[ONNXRUNTIME])]
    columns: list[Column] = [
        ("Validation", lambda m: share(m, "val/accuracy")),
        (f"Change, points ({sure})", lambda m: change(m, "val")),
        ("Test", lambda m: share(m, "test/accuracy")),
        (f"Change, points ({sure})", lambda m: change(m, "test")),
        ("Weakest class", lambda m: share(m, "test/recall_min")),
        ("Bytes", lambda m: count(m, "model/bytes")),
        ("gzip bytes", lambda m: count(m, "model/gzip_bytes")),
        ("Sparsity", lambda m: percent(m, "model/sparsity")),
        ("p50, ms", lambda m: rounded(m, "speed/latency_p50_ms", 3)),
        ("p95, ms", lambda m: rounded(m, "speed/latency_p95_ms", 3)),
        *(_throughput(size) for size in batch_sizes),
        *([] if refusal else ratios),
        ("Peak, MiB", lambda m: count(m, "speed/peak_memory_mb")),
    ]
    write_page(
        path,
        [
            "# Leaderboard",
            table(rows, columns),
            "![Validation accuracy against latency](pareto.png)",
            steps([row for row in rows if row.name != ONNXRUNTIME]),
            *failures(rows),
            *_notes(batch_sizes, sure, conditions, refusal),
        ],
    )
    return path


def _notes(batch_sizes: Sequence[int], sure: str, conditions: str, refusal: str | None) -> list[str]:
    largest = max(batch_sizes)
    pairs = (
        f"× PyTorch and × ONNX Runtime: images per second in batches of {largest}, relative to `{BASE}` and "
        f"`{ONNXRUNTIME}` in the same round; median of the rounds (least to greatest)."
    )
    return [
        conditions,
        f"`{BASE}` is the fp32 network in PyTorch's eager mode, `{ONNXRUNTIME}` its export in ONNX Runtime; "
        "all others also run in ONNX Runtime. p50 and p95: percentiles over all calls with one image. "
        "Images/s: by the median batch of each round, median of the rounds (least to greatest). Peak: the "
        f"most memory that a fresh process holds to load the model and predict {largest} images, including "
        "Python and the engine.",
        f"No ratios of speeds: {refusal}" if refusal else pairs,
        f"Changes are against the base on the same images, with the {sure} limits of Tango's score interval. "
        f"{WEAKEST} Choose by the validation metrics: the test metrics are only reported. {SPARSITY_NOTE}",
    ]


def _throughput(size: int) -> Column:
    return f"Images/s, {size}", lambda metrics: with_spread(metrics, f"speed/throughput/{size}", 3)


def _ratio(heading: str, name: str) -> Column:
    return heading, lambda metrics: with_spread(metrics, name, 2)
