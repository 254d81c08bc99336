"""The figure of a cross-validation: each metric over the folds, with its interval."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from src.evaluation.uncertainty.intervals import Interval
from src.plotting.style import BLUE, ORANGE, new_figure, save, styled

# The metrics in the figure, as far as they are defined, with the titles of their panels.
TITLES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced\naccuracy",
    "f1_macro": "F1, macro",
    "roc_auc": "ROC AUC",
    "log_loss": "Log loss",
    "calibration_error": "Calibration\nerror",
}


def draw_folds(
    path: Path, metrics: Mapping[str, NDArray[np.float64]], limits: Mapping[str, Interval]
) -> Path:
    """Draw a box for each metric with a point for each fold, and beside it the mean with its interval.

    The box holds the middle half of the folds, its line is their median, and the whiskers reach the extremes.

    Args:
        path: the PNG file.
        metrics: of each fold, (F,) each; NaN where undefined.
        limits: of the mean of each metric.
    """
    shown = {name: values[~np.isnan(values)] for name, values in metrics.items() if name in TITLES}
    shown = {name: shown[name] for name in TITLES if len(shown.get(name, ()))}
    with styled():
        figure = new_figure(1.55 * len(shown) + 0.3, 3.7)
        panels = figure.subplots(1, len(shown), squeeze=False)[0]
        for axes, (name, values) in zip(panels, shown.items(), strict=True):
            _draw_box(axes, values)
            _draw_limits(axes, values, limits[name])
            axes.set_title(TITLES[name], loc="center", fontsize=9.0)
            axes.set(xlim=(-0.75, 1.1), xticks=())
            axes.spines["bottom"].set_visible(False)
            axes.ticklabel_format(axis="y", useOffset=False)  # 0.9997, not -0.0003 with a +1 above
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
        return save(figure, path)


def _draw_box(axes: Axes, values: NDArray[np.float64]) -> None:
    """Draw the box with each value as a point; equal values are side by side."""
    edge = {"color": "#8fa9c9", "linewidth": 1.0}
    axes.boxplot(
        values,
        positions=[0],
        widths=0.8,
        whis=(0, 100),
        showfliers=False,
        patch_artist=True,
        boxprops={"facecolor": "#e4edf8", "edgecolor": "#8fa9c9", "linewidth": 1.0},
        medianprops={"color": BLUE, "linewidth": 1.6},
        whiskerprops=edge,
        capprops=edge,
    )
    axes.plot(
        _spread_horizontally(values),
        values,
        "o",
        color=BLUE,
        markersize=5,
        markeredgecolor="white",
        markeredgewidth=0.7,
        label="one fold",
    )


def _spread_horizontally(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Horizontal positions (F,) at which points do not cover each other."""
    size = max(float(np.ptp(values)), 1e-12) / 18  # of a point, in units of the metric
    slots = np.round((values - values.min()) / size).astype(np.int64)
    positions = np.zeros(len(values))
    for slot in np.unique(slots):
        rows = np.flatnonzero(slots == slot)
        positions[rows] = (np.arange(len(rows)) - (len(rows) - 1) / 2) * min(0.16, 0.7 / len(rows))
    return positions


def _draw_limits(axes: Axes, values: NDArray[np.float64], limits: Interval) -> None:
    mean = float(values.mean())
    if np.isfinite(limits.low):
        axes.plot(
            [0.75] * 2, [limits.low, limits.high], color=ORANGE, linewidth=1.8, label="corrected interval"
        )
    axes.plot([0.75], [mean], "D", color=ORANGE, markersize=5.5, markeredgecolor="white", label="mean")
