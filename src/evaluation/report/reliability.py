"""The reliability diagram."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from src.evaluation.metrics.calibration import Reliability
from src.plotting.style import SOFT, new_figure, save, styled, subtitle


def draw_reliability(path: Path, table: Reliability, error: float) -> Path:
    """Draw the accuracy of each confidence bin against the diagonal, above the histogram of confidences."""
    with styled():
        figure = new_figure(5.0, 5.6)
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3.2, 1])
        _draw_bins(above, table)
        above.set_title("Reliability")
        subtitle(above, f"expected calibration error {error:.4f}")
        widths = table.high - table.low
        below.bar(table.low, table.images, widths, align="edge", color="#b8cbe2", edgecolor="white")
        below.set(xlim=(0, 1), xlabel="Confidence", ylabel="Images")
        below.grid(axis="x", visible=False)
        figure.align_ylabels()
        figure.legend(*above.get_legend_handles_labels(), loc="outside lower left", ncols=2)
        return save(figure, path)


def _draw_bins(axes: Axes, table: Reliability) -> None:
    filled = table.images > 0
    low, width = table.low[filled], (table.high - table.low)[filled]
    accuracy, confidence = table.accuracy[filled], table.confidence[filled]
    shared = np.minimum(accuracy, confidence)
    bar: dict[str, Any] = {"width": width, "align": "edge", "edgecolor": "white", "linewidth": 0.8}
    axes.bar(low, shared, color="#8db4de", label="accuracy", **bar)
    surplus = np.maximum(accuracy - confidence, 0)
    axes.bar(low, surplus, bottom=shared, color="#3f7fc4", label="accuracy above the confidence", **bar)
    lack = np.maximum(confidence - accuracy, 0)
    axes.bar(low, lack, bottom=shared, color="#f6cfa4", label="accuracy below the confidence", **bar)
    axes.plot([0, 1], [0, 1], color=SOFT, linewidth=1.0, linestyle=(0, (4, 3)), label="perfect")
    axes.set(xlim=(0, 1), ylim=(0, 1), ylabel="Accuracy")
