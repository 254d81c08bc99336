"""The leaderboard of the base and its variants: what a function of the inputs can say of them.

Validation figures choose, test figures are only reported; neither is computed from the other's images.
"""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from src.csv_table import write_csv
from src.evaluation.calibration import calibration_error
from src.evaluation.contenders import Contender, HeldOut, Model, size_figures
from src.evaluation.metrics import Integers, softmax
from src.evaluation.paired import Right, accuracy_change, change_interval, mcnemar, mean_interval
from src.schema import Evaluate

BASE = "base"
TEXTS = ("variant", "status", "reason", "steps")
CHOOSE = ("val_accuracy", "val_change", "val_change_low", "val_change_high", "val_mcnemar_p")
REPORT = (
    *("test_accuracy", "test_accuracy_low", "test_accuracy_high"),
    *("test_change", "test_change_low", "test_change_high", "test_mcnemar_p"),
)
SIZES = ("bytes", "gzip_bytes", "size_ratio", "parameters", "nonzero_parameters", "sparsity", "macs")
FIGURES = (*CHOOSE, *REPORT, "agreement", "calibration_error", *SIZES)
# What this page adds to what compress has told of a variant, by its name on every run.
TRACKED = {
    "val_change": "val/accuracy_change",
    "val_change_low": "val/accuracy_change_low",
    "val_change_high": "val/accuracy_change_high",
    "val_mcnemar_p": "val/mcnemar_p",
    "test_accuracy": "test/accuracy",
    "test_accuracy_low": "test/accuracy_low",
    "test_accuracy_high": "test/accuracy_high",
    "test_change": "test/accuracy_change",
    "test_change_low": "test/accuracy_change_low",
    "test_change_high": "test/accuracy_change_high",
    "test_mcnemar_p": "test/mcnemar_p",
    "calibration_error": "test/calibration_error",
}
# Of the base nobody has told these yet; its test figures come from evaluate.
TRACKED_OF_BASE = {name: name for name in SIZES if name != "size_ratio"}


@dataclass(frozen=True)
class Row:
    """A line of the leaderboard; a figure that is undefined or unknown is absent."""

    name: str
    steps: tuple[str, ...]
    figures: dict[str, float]
    reason: str | None = None  # of a variant that failed, which has no figures

    @property
    def status(self) -> str:
        return "ok" if self.reason is None else "failed"

    def tracked(self) -> dict[str, float]:
        """The figures by their names on the run of the model."""
        names = TRACKED_OF_BASE if self.name == BASE else TRACKED
        return {names[key]: value for key, value in self.figures.items() if key in names}


def compare(
    base: Model,
    variants: Sequence[Contender],
    held: HeldOut,
    settings: Evaluate,
    seed: int,
    advance: Callable[[int], None],
) -> list[Row]:
    """The base's row, then one for each variant in its order; ``advance`` is told of each."""
    rows = []
    for contender in (Contender(BASE, (), base), *variants):
        model = contender.model
        figures = {} if model is None else _figures(base, model, held, settings, seed)
        rows.append(Row(contender.name, contender.steps, figures, contender.reason))
        advance(1)
    return rows


def write_rows(path: Path, rows: Sequence[Row], figures: Sequence[str] = FIGURES) -> None:
    """One line a row; what is unknown is left blank."""
    lines = (
        [row.name, row.status, row.reason, " > ".join(row.steps), *(row.figures.get(key) for key in figures)]
        for row in rows
    )
    write_csv(path, [*TEXTS, *figures], lines)


def read_rows(path: Path) -> list[Row]:
    """What :func:`write_rows` wrote."""
    with path.open(encoding="utf-8", newline="") as file:
        return [_row(line) for line in csv.DictReader(file)]


def _figures(base: Model, model: Model, held: HeldOut, settings: Evaluate, seed: int) -> dict[str, float]:
    test = ~held.validation
    figures = {
        **_choosing(base, model, held.targets, held.validation, settings, seed),
        **_reporting(base, model, held.targets, test, settings, seed),
        "agreement": float(np.mean((_said(model) == _said(base))[held.validation])),
        "calibration_error": calibration_error(
            softmax(model.logits[test]), held.targets[test], settings.calibration_bins
        ),
        **size_figures(model.size),
        "size_ratio": base.size.bytes / model.size.bytes,
    }
    return {key: figures[key] for key in FIGURES if key in figures}


def _choosing(
    base: Model, model: Model, targets: Integers, rows: NDArray[np.bool_], settings: Evaluate, seed: int
) -> dict[str, float]:
    """What a choice may look at."""
    before, after = _right(base, targets, rows), _right(model, targets, rows)
    change = {} if model is base else _change(before, after, settings, seed)
    return {"val_accuracy": float(after.mean()), **{f"val_{key}": value for key, value in change.items()}}


def _reporting(
    base: Model, model: Model, targets: Integers, rows: NDArray[np.bool_], settings: Evaluate, seed: int
) -> dict[str, float]:
    """What nothing may be chosen by."""
    before, after = _right(base, targets, rows), _right(model, targets, rows)
    limits = mean_interval(
        after.astype(np.float64),
        resamples=settings.bootstrap,
        confidence=settings.confidence,
        seed=seed,
    )
    change = {} if model is base else _change(before, after, settings, seed)
    return {
        "test_accuracy": float(after.mean()),
        "test_accuracy_low": limits.low,
        "test_accuracy_high": limits.high,
        **{f"test_{key}": value for key, value in change.items()},
    }


def _change(before: Right, after: Right, settings: Evaluate, seed: int) -> dict[str, float]:
    """Of the accuracy against the base."""
    limits = change_interval(
        before, after, resamples=settings.bootstrap, confidence=settings.confidence, seed=seed
    )
    return {
        "change": accuracy_change(before, after),
        "change_low": limits.low,
        "change_high": limits.high,
        "mcnemar_p": mcnemar(before, after),
    }


def _said(model: Model) -> Integers:
    return np.asarray(model.logits.argmax(axis=1), dtype=np.int64)


def _right(model: Model, targets: Integers, rows: NDArray[np.bool_]) -> Right:
    return np.asarray((_said(model) == targets)[rows])


def _row(line: dict[str, str]) -> Row:
    figures = {key: _number(text) for key, text in line.items() if key not in TEXTS and text}
    steps = tuple(filter(None, line["steps"].split(" > ")))
    return Row(line["variant"], steps, figures, line["reason"] or None)


def _number(text: str) -> float:
    return int(text) if text.isdigit() else float(text)
