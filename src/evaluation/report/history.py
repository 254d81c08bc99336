"""The figure of the learning curves."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from src.core.metric_names import CURVE, metric_of
from src.plotting.style import BLUE, ORANGE, new_figure, save, styled, subtitle

TIE_BREAKERS = (f"{CURVE}val/loss", f"{CURVE}val/accuracy")


def draw_history(path: Path, history: Mapping[str, Sequence[float]]) -> Path:
    """Draw loss and accuracy by epoch, as far as ``history`` (columns of history.csv) has them."""
    with styled():
        figure = new_figure(9.0, 3.6)
        for axes, metric in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
            _draw_curve(axes, history, f"{CURVE}train/{metric}", "training", ORANGE)
            _draw_curve(axes, history, f"{CURVE}val/{metric}", "validation", BLUE)
            _mark_best(axes, history, f"{CURVE}val/{metric}")
            axes.set_title(metric.capitalize())
            axes.set_xlabel("Epoch")
            axes.xaxis.get_major_locator().set_params(integer=True)
            if axes.get_lines():
                axes.legend(loc="best")
        return save(figure, path)


def _draw_curve(
    axes: Axes, history: Mapping[str, Sequence[float]], column: str, label: str, color: str
) -> None:
    if column not in history:
        return
    marker = "o" if len(history[column]) <= 5 else None  # a line through one point would be invisible
    axes.plot(history["epoch"], history[column], color=color, label=label, marker=marker, markersize=4)


def _mark_best(axes: Axes, history: Mapping[str, Sequence[float]], column: str) -> None:
    values = np.asarray(history.get(column, ()), dtype=np.float64)
    if not np.isfinite(values).any():
        return
    lowest = metric_of(column).direction == "minimize"
    best = best_index(history, column)
    word = "lowest" if lowest else "highest"
    axes.plot(history["epoch"][best], values[best], "o", color=BLUE, markersize=5, markeredgecolor="white")
    subtitle(axes, f"{word} on validation {values[best]:.4f}, epoch {history['epoch'][best]:.0f}")


def best_index(history: Mapping[str, Sequence[float]], column: str) -> int:
    """Index of the best epoch; ties go to the better loss, then accuracy, then the first, as in training."""
    columns = [name for name in (column, *TIE_BREAKERS) if name in history]
    signs = [1 if metric_of(name).direction == "minimize" else -1 for name in columns]

    def key(epoch: int) -> list[float]:
        values = [sign * history[name][epoch] for sign, name in zip(signs, columns, strict=True)]
        return [np.inf if np.isnan(value) else value for value in values]

    return min(range(len(history[column])), key=key)
