"""The leaderboard for people, as Markdown."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from src.core.metric_names import with_limits
from src.leaderboard.table.rows import BASE, CHANGE, RATIO, LeaderboardRow

Metrics = Mapping[str, float]
Column = tuple[str, Callable[[Metrics], str]]  # heading, text of a row's cell

UNKNOWN = "–"
WEAKEST = "Weakest class: its recall on the test images."
SPARSITY_NOTE = (
    "Zeros alone make no dense file smaller and no dense model faster: sparsity lowers gzip bytes, but not "
    "bytes or latency. Removed channels lower all of them."
)


def write_variants(path: Path, rows: Sequence[LeaderboardRow], confidence: float) -> None:
    """Write what is a function of the inputs: accuracy, size, and why variants failed."""
    sure = f"{100 * confidence:.4g}%"
    accuracy: list[Column] = [
        ("Validation", lambda m: share(m, "val/accuracy")),
        (f"Change, points ({sure})", lambda m: change(m, "val")),
        ("p", lambda m: p_value(m, "val/mcnemar_p")),
        (f"Test ({sure})", lambda m: share(m, "test/accuracy", limits=True)),
        (f"Change, points ({sure})", lambda m: change(m, "test")),
        ("p", lambda m: p_value(m, "test/mcnemar_p")),
        ("Weakest class", lambda m: share(m, "test/recall_min")),
        ("Agreement", lambda m: share(m, "val/agreement")),
        ("Calibration error", lambda m: share(m, "test/calibration_error")),
    ]
    size: list[Column] = [
        ("Bytes", lambda m: count(m, "model/bytes")),
        ("Smaller", lambda m: times(m, RATIO)),
        ("gzip bytes", lambda m: count(m, "model/gzip_bytes")),
        ("Parameters", lambda m: count(m, "model/parameters")),
        ("Not zero", lambda m: count(m, "model/nonzero_parameters")),
        ("Sparsity", lambda m: percent(m, "model/sparsity")),
        ("MACs", lambda m: count(m, "model/macs")),
    ]
    notes = [
        f"Changes are against the base on the same images, with the {sure} limits of Tango's score interval; "
        f"test accuracy has those of Wilson's. p is McNemar's, for equal accuracy. {WEAKEST} Agreement: "
        "share of the validation images for which the variant predicts what the base predicts. The "
        "calibration error is that of the test images.",
        "Choose by the validation metrics: the test metrics are only reported. `register` requires more than "
        "p: the upper limit of the loss must lie within register.policy.margin.",
        "The base's bytes are those of its safetensors file, a variant's those of its ONNX file. "
        f"{SPARSITY_NOTE}",
    ]
    parts = ["# Variants", "## Accuracy", table(rows, accuracy), "## Size", table(rows, size), "## Steps"]
    write_page(path, [*parts, steps(rows), *failures(rows), *notes])


def table(rows: Iterable[LeaderboardRow], columns: Sequence[Column]) -> str:
    """One line per row; a failed variant has no metrics."""
    head = ["Variant", *(name for name, _ in columns)]
    lines = [head, ["---", *["---:"] * len(columns)]]
    failed = ["failed", *[""] * (len(columns) - 1)]
    lines += [
        [f"`{row.name}`", *(failed if row.reason else (cell(row.metrics) for _, cell in columns))]
        for row in rows
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def steps(rows: Sequence[LeaderboardRow]) -> str:
    """The steps of each variant."""
    return "\n".join(f"- `{row.name}`: {' → '.join(row.steps)}" for row in rows if row.name != BASE)


def failures(rows: Sequence[LeaderboardRow]) -> list[str]:
    """A paragraph on failed variants, if there are any."""
    failed = [f"- `{row.name}`: {' '.join(row.reason.split())}" for row in rows if row.reason is not None]
    return ["\n".join(["Failed, with the reason:", "", *failed])] if failed else []


def write_page(path: Path, parts: Iterable[str]) -> None:
    """Write paragraphs with blank lines between them."""
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def share(metrics: Metrics, name: str, limits: bool = False) -> str:
    """0.9312, or 0.9312 (0.926 to 0.936)."""
    if name not in metrics:
        return UNKNOWN
    value, low, high = (metrics.get(part, math.nan) for part in with_limits(name))
    return f"{value:.4f} ({low:.3f} to {high:.3f})" if limits else f"{value:.4f}"


def change(metrics: Metrics, split: str) -> str:
    """In points with its limits: -0.21 (-0.40 to +0.02)."""
    names = with_limits(CHANGE.format(split))
    if names[0] not in metrics:
        return UNKNOWN
    value, low, high = (_points(metrics[name]) for name in names)
    return f"{value} ({low} to {high})"


def with_spread(metrics: Metrics, name: str, digits: int) -> str:
    """1,860 (1,790 to 1,900)."""
    if name not in metrics:
        return UNKNOWN
    value, low, high = (round_to(metrics[part], digits) for part in with_limits(name))
    return f"{value} ({low} to {high})"


def p_value(metrics: Metrics, name: str) -> str:
    """Two digits, or < 0.001."""
    if name not in metrics:
        return UNKNOWN
    value = metrics[name]
    return f"{value:.2f}" if value >= 0.1 else f"{value:.3f}" if value >= 0.001 else "< 0.001"


def count(metrics: Metrics, name: str) -> str:
    """1,234,567."""
    return f"{metrics[name]:,.0f}" if name in metrics else UNKNOWN


def percent(metrics: Metrics, name: str) -> str:
    """80.0%."""
    return f"{100 * metrics[name]:.1f}%" if name in metrics else UNKNOWN


def times(metrics: Metrics, name: str) -> str:
    """3.6×."""
    return f"{round_to(metrics[name], 2)}×" if name in metrics else UNKNOWN


def rounded(metrics: Metrics, name: str, digits: int) -> str:
    """0.123."""
    return round_to(metrics[name], digits) if name in metrics else UNKNOWN


def round_to(value: float, digits: int) -> str:
    """Plain decimal with at least ``digits`` significant digits: 0.12, 3.6, 12, 1,860."""
    if value == 0 or not math.isfinite(value):
        return f"{value:.0f}"
    return f"{value:,.{max(0, digits - 1 - math.floor(math.log10(abs(value))))}f}"


def _points(value: float) -> str:
    text = f"{100 * value:+.2f}"
    return "0.00" if text in ("+0.00", "-0.00") else text
