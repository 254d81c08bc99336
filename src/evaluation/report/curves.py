"""The figures of ROC and precision-recall curves."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from src.evaluation.metrics.curves import Curve
from src.plotting.style import BLUE, CLASSES, INK, RULE, SOFT, new_figure, save, styled


def draw_roc(path: Path, curves: Sequence[Curve], average: Curve | None, missing: Sequence[str]) -> Path:
    """Draw ROC curves with their areas (AUC), and their average where there are several.

    ``missing``: classes that have no curve because the test images do not allow one.
    """
    with styled():
        figure = new_figure(6.6, 4.6)
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=RULE, linewidth=1.0, linestyle=(0, (4, 3)))
        _label_rates(axes, "ROC, one class against the rest", "False positive rate", "True positive rate")
        _draw_curves(axes, curves, average, missing, "AUC")
        if _reaches_corner(average or (curves[0] if curves else None)):
            _magnify_corner(axes, curves, average)
        return save(figure, path)


def draw_pr(path: Path, curves: Sequence[Curve], average: Curve | None, missing: Sequence[str]) -> Path:
    """Draw precision-recall curves with their areas (AP, average precision), else as :func:`draw_roc`."""
    with styled():
        figure = new_figure(6.6, 4.6)
        axes = figure.subplots()
        _label_rates(axes, "Precision and recall", "Recall", "Precision")
        _draw_curves(axes, _steps(curves), average and _steps([average])[0], missing, "AP")
        return save(figure, path)


def _label_rates(axes: Axes, title: str, across: str, up: str) -> None:
    axes.set_title(title)
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel=across, ylabel=up)
    axes.set_box_aspect(1)


def _steps(curves: Sequence[Curve]) -> list[Curve]:
    """Precision-recall curves as stairs: the best precision of a recall holds from the recall before it.

    A straight line between two points would promise what no threshold gives.
    """
    stairs = []
    for curve in curves:
        recall, first = np.unique(curve.x, return_index=True)
        recall, precision = recall[recall > 0], curve.y[first][recall > 0]
        left = np.concatenate([[0.0], recall[:-1]])
        across = np.stack([left, recall], axis=1).ravel()
        stairs.append(Curve(curve.name, across, np.repeat(precision, 2), curve.area))
    return stairs


def _draw_curves(
    axes: Axes, curves: Sequence[Curve], average: Curve | None, missing: Sequence[str], unit: str
) -> None:
    if not curves:
        text = "— undefined: needs test images\nof the class and of others"
        axes.text(0.5, 0.5, text, ha="center", va="center", color=SOFT)
        return
    lines, few = _plot(axes, curves, average), len(curves) <= len(CLASSES)
    shown = [(line, _label(curve)) for line, curve in zip(lines, curves, strict=False)]
    if not few:
        shown = [(lines[0], f"{len(curves)} classes")]
    if average is not None:
        shown.insert(0, (lines[-1], _label(average)))
    gaps = missing if few else [f"{len(missing)} more classes"] if missing else []
    shown += [(Line2D([], [], color=RULE), f"{name}  —") for name in gaps]
    handles, labels = zip(*shown, strict=True)
    legend = axes.legend(handles, labels, title=unit, loc="center left", bbox_to_anchor=(1.03, 0.5))
    legend.set_alignment("left")


def _label(curve: Curve) -> str:
    return f"{curve.name}  {curve.area:.4f}"


def _plot(axes: Axes, curves: Sequence[Curve], average: Curve | None) -> list[Line2D]:
    """A color each for a few classes, one pale color for many, and the average over them."""
    few = len(curves) <= len(CLASSES)
    colors = [BLUE] if len(curves) == 1 else list(CLASSES) if few else ["#9db4d0"] * len(curves)
    lines = []
    for curve, color in zip(curves, colors, strict=False):
        lines += axes.plot(curve.x, curve.y, color=color, linewidth=1.3 if few else 0.5)
    if average is not None:
        lines += axes.plot(average.x, average.y, color=INK, linewidth=2.0)
    return lines


def _reaches_corner(curve: Curve | None) -> bool:
    return curve is not None and float(np.interp(0.1, curve.x, curve.y)) >= 0.95


def _magnify_corner(axes: Axes, curves: Sequence[Curve], average: Curve | None) -> None:
    """Good classifiers differ only in the upper left corner."""
    corner = axes.inset_axes((0.42, 0.1, 0.54, 0.54))
    _plot(corner, curves, average)
    corner.set(xlim=(-0.002, 0.1), ylim=(0.9, 1.002), xticks=(0, 0.05, 0.1), yticks=(0.9, 0.95, 1))
    corner.tick_params(labelsize=7.0)
    corner.spines[:].set_visible(True)
    axes.indicate_inset_zoom(corner, edgecolor=SOFT, alpha=0.6)
