"""The figure of the confusion matrix."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from numpy.typing import NDArray

from src.plotting.style import INK, new_figure, save, styled, subtitle

ANNOTATED = 20  # at most so many classes, and the cells show their numbers
NAMED = 60  # at most so many classes, and each has its name at the axes
FAINT = "#b4bac4"  # for zeros
SHADES = LinearSegmentedColormap.from_list("shades", ["#ffffff", "#cfe0f3", "#6ea6dc", "#1f5fa8", "#0d2f5c"])


def draw_confusion(path: Path, matrix: NDArray[np.int64], classes: Sequence[str]) -> Path:
    """Draw counts and rates side by side. ``matrix``: (K, K), rows are actual classes.

    The rates of a class without images are dashes on gray.
    """
    size = float(np.clip(0.46 * len(classes) + 1.6, 3.6, 9.0))
    with styled():
        figure = new_figure(2 * size, size + 0.35)
        left, right = figure.subplots(1, 2)
        totals = matrix.sum(axis=1, keepdims=True)
        rates = np.where(totals > 0, matrix / np.maximum(totals, 1), np.nan)
        _draw_matrix(left, matrix.astype(np.float64), classes, "Counts", "images")
        _draw_matrix(right, rates, classes, "Rates", "share of the actual class")
        return save(figure, path)


def _draw_matrix(
    axes: Axes, values: NDArray[np.float64], classes: Sequence[str], title: str, unit: str
) -> None:
    shades = SHADES.with_extremes(bad="#eef0f3")
    top = np.nanmax(values, initial=0) or 1.0
    # shades follow the square root, so that rare confusions are visible beside the diagonal
    scale = PowerNorm(0.5, vmin=0, vmax=top)
    axes.imshow(np.ma.masked_invalid(values), cmap=shades, norm=scale, interpolation="nearest")
    axes.set_title(title)
    subtitle(axes, unit)
    axes.set(xlabel="Predicted", ylabel="Actual")
    axes.grid(visible=False)
    axes.spines[:].set_visible(True)
    _name_classes(axes, classes)
    if len(classes) <= ANNOTATED:
        _write_numbers(axes, values, top)


def _name_classes(axes: Axes, classes: Sequence[str]) -> None:
    """Write all names if they fit, else every second, third, …."""
    step = math.ceil(len(classes) / NAMED)
    ticks = range(0, len(classes), step)
    names = [classes[tick] for tick in ticks]
    size = 8.0 if len(classes) <= ANNOTATED else 5.5
    slanted = len(classes) > ANNOTATED or max(map(len, names)) > 3
    axes.set_xticks(ticks, names, rotation=90 if slanted else 0, fontsize=size)
    axes.set_yticks(ticks, names, fontsize=size)


def _write_numbers(axes: Axes, values: NDArray[np.float64], top: float) -> None:
    size = 8.0 if len(values) <= 12 else 6.0
    for (row, column), value in np.ndenumerate(values):
        color = "white" if value > 0.25 * top else (INK if value else FAINT)
        axes.text(column, row, _cell(value, top), ha="center", va="center", color=color, fontsize=size)


def _cell(value: float, top: float) -> str:
    """A count as it is; a rate as .97; a dash where undefined."""
    if np.isnan(value):
        return "—"
    if top > 1 or value in (0, 1):
        return f"{value:.0f}"
    return f"{value:.2f}".removeprefix("0") if value >= 0.005 else "<.01"
