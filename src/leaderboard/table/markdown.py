"""The leaderboard for people, as Markdown."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from src.leaderboard.table.rows import BASE, LeaderboardRow

Figures = Mapping[str, float]
Column = tuple[str, Callable[[Figures], str]]  # heading, text of a row's cell

UNKNOWN = "–"
HONEST = (
    "Zeros alone make no dense file smaller and no dense model faster: sparsity shows in gzip bytes, "
    "and not in bytes or latency. Removed channels show in all of them."
)


def write_variants(path: Path, rows: Sequence[LeaderboardRow], confidence: float) -> None:
    """What is a function of the inputs: accuracy, size, and the reasons of those that failed."""
    sure = f"{100 * confidence:.4g}%"
    accuracy: list[Column] = [
        ("Validation", lambda f: share(f, "val_accuracy")),
        (f"Change, points ({sure})", lambda f: change(f, "val")),
        ("p", lambda f: p_value(f, "val_mcnemar_p")),
        (f"Test ({sure})", lambda f: share(f, "test_accuracy", limits=True)),
        (f"Change, points ({sure})", lambda f: change(f, "test")),
        ("p", lambda f: p_value(f, "test_mcnemar_p")),
        ("Agreement", lambda f: share(f, "agreement")),
        ("Calibration error", lambda f: share(f, "calibration_error")),
    ]
    size: list[Column] = [
        ("Bytes", lambda f: count(f, "bytes")),
        ("Smaller", lambda f: times(f, "size_ratio")),
        ("gzip bytes", lambda f: count(f, "gzip_bytes")),
        ("Parameters", lambda f: count(f, "parameters")),
        ("Not zero", lambda f: count(f, "nonzero_parameters")),
        ("Sparsity", lambda f: percent(f, "sparsity")),
        ("MACs", lambda f: count(f, "macs")),
    ]
    notes = [
        f"Changes are against the base on the same images, with the {sure} limits of a paired bootstrap; "
        "p is McNemar's, of an equal accuracy. Agreement: share of the validation images on which the "
        "variant says what the base says. Calibration error is that of the test images.",
        "Choose by the validation figures: the test figures are only reported.",
        f"The base's bytes are those of its safetensors file, a variant's those of its ONNX file. {HONEST}",
    ]
    parts = ["# Variants", "## Accuracy", table(rows, accuracy), "## Size", table(rows, size), "## Chains"]
    write_page(path, [*parts, chains(rows), *failures(rows), *notes])


def table(rows: Iterable[LeaderboardRow], columns: Sequence[Column]) -> str:
    """A line for each row; one that failed has no figures."""
    head = ["Variant", *(name for name, _ in columns)]
    lines = [head, ["---", *["---:"] * len(columns)]]
    failed = ["failed", *[""] * (len(columns) - 1)]
    lines += [
        [f"`{row.name}`", *(failed if row.reason else (cell(row.metrics) for _, cell in columns))]
        for row in rows
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def chains(rows: Sequence[LeaderboardRow]) -> str:
    """The steps of each variant."""
    return "\n".join(f"- `{row.name}`: {' → '.join(row.steps)}" for row in rows if row.name != BASE)


def failures(rows: Sequence[LeaderboardRow]) -> list[str]:
    """A paragraph on those that failed, if any."""
    failed = [f"- `{row.name}`: {' '.join(row.reason.split())}" for row in rows if row.reason is not None]
    return ["\n".join(["Failed, with the reason:", "", *failed])] if failed else []


def write_page(path: Path, parts: Iterable[str]) -> None:
    """Paragraphs with a line between them."""
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def share(figures: Figures, key: str, limits: bool = False) -> str:
    """0.9312, or 0.9312 (0.926 to 0.936)."""
    if key not in figures:
        return UNKNOWN
    text = f"{figures[key]:.4f}"
    return f"{text} ({figures[f'{key}_low']:.3f} to {figures[f'{key}_high']:.3f})" if limits else text


def change(figures: Figures, split: str) -> str:
    """In points with its limits: -0.21 (-0.40 to +0.02)."""
    keys = [f"{split}_change{end}" for end in ("", "_low", "_high")]
    if keys[0] not in figures:
        return UNKNOWN
    value, low, high = (_points(figures[key]) for key in keys)
    return f"{value} ({low} to {high})"


def p_value(figures: Figures, key: str) -> str:
    """Two digits, or that it is small."""
    if key not in figures:
        return UNKNOWN
    value = figures[key]
    return f"{value:.2f}" if value >= 0.1 else f"{value:.3f}" if value >= 0.001 else "< 0.001"


def count(figures: Figures, key: str) -> str:
    """1,234,567."""
    return f"{figures[key]:,.0f}" if key in figures else UNKNOWN


def percent(figures: Figures, key: str) -> str:
    """80.0%."""
    return f"{100 * figures[key]:.1f}%" if key in figures else UNKNOWN


def times(figures: Figures, key: str) -> str:
    """3.6×."""
    return f"{round_to(figures[key], 2)}×" if key in figures else UNKNOWN


def round_to(value: float, digits: int) -> str:
    """Plain decimal with at least so many digits that count: 0.12, 3.6, 12, 1,860."""
    if value == 0 or not math.isfinite(value):
        return f"{value:.0f}"
    return f"{value:,.{max(0, digits - 1 - math.floor(math.log10(abs(value))))}f}"


def _points(value: float) -> str:
    text = f"{100 * value:+.2f}"
    return "0.00" if text in ("+0.00", "-0.00") else text
