"""The pictures of an evaluation. Each function draws one PNG and returns its path; equal arguments give
equal bytes. Class names must be drawable: see ``style.legible``."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from src.evaluation.calibration import Reliability
from src.evaluation.curves import Curve
from src.evaluation.intervals import Interval
from src.evaluation.mistakes import Mistake
from src.style import (
    BLUE,
    CLASSES,
    INK,
    ORANGE,
    RULE,
    SOFT,
    new_figure,
    save,
    styled,
    subtitle,
)

ANNOTATED = 20  # classes up to which the confusion matrix carries its numbers
NAMED = 60  # classes up to which every one is named at its axis
# The gallery of mistakes: inches an image is wide, and in units of that width the space between images and
# above all of them
INCHES, GAP, HEADING = 1.7, 0.07, 0.22
FAINT = "#b4bac4"  # zeros, which only have to be there
# What the picture of the folds shows, as far as it is defined.
OF_FOLDS = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced\naccuracy",
    "f1_macro": "F1, macro",
    "roc_auc": "ROC AUC",
    "log_loss": "Log loss",
    "calibration_error": "Calibration\nerror",
}
SHADES = LinearSegmentedColormap.from_list("shades", ["#ffffff", "#cfe0f3", "#6ea6dc", "#1f5fa8", "#0d2f5c"])


def draw_confusion(path: Path, matrix: NDArray[np.int64], classes: Sequence[str]) -> Path:
    """Counts and rates side by side. ``matrix``: (K, K), rows are actual classes.

    The rate of a class without test images is drawn as a dash on grey.
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


def draw_roc(path: Path, curves: Sequence[Curve], average: Curve | None, missing: Sequence[str]) -> Path:
    """ROC curves with their areas (AUC), and their average where there are several.

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
    """Precision-recall curves with their areas (AP, average precision), else as ``draw_roc``."""
    with styled():
        figure = new_figure(6.6, 4.6)
        axes = figure.subplots()
        _label_rates(axes, "Precision and recall", "Recall", "Precision")
        _draw_curves(axes, _steps(curves), average and _steps([average])[0], missing, "AP")
        return save(figure, path)


def draw_reliability(path: Path, table: Reliability, error: float) -> Path:
    """Accuracy of each confidence bin against the diagonal, over the histogram of confidences."""
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


def draw_mistakes(path: Path, mistakes: Sequence[Mistake], total: int, images: int) -> Path:
    """The given mistakes in reading order; ``total`` were made among ``images``."""
    if not mistakes:
        return _draw_no_mistakes(path, images)
    columns = min(8, max(3, math.ceil(math.sqrt(len(mistakes)))))
    rows = math.ceil(len(mistakes) / columns)
    height = mistakes[0].image.shape[1] / mistakes[0].image.shape[2]  # in widths
    caption = 0.30 if all(map(_is_short, mistakes)) else 0.42
    across, down = columns * (1 + GAP) + GAP, rows * (height + caption) + HEADING
    with styled():
        figure = new_figure(INCHES * across, INCHES * down)
        figure.set_layout_engine(None)
        # one plane for all, because a layout of many axes takes seconds
        axes = figure.add_axes((0, 0, 1, 1), xlim=(-GAP, across - GAP), ylim=(down, 0))
        axes.set_axis_off()
        title = _mistakes_title(len(mistakes), total, images)
        axes.text(0, 0.12, title, fontsize=11.0, fontweight="bold", va="top")
        for place, mistake in enumerate(mistakes):
            left, top = (place % columns) * (1 + GAP), (place // columns) * (height + caption) + HEADING
            _draw_mistake(axes, mistake, left, top + caption - 0.06, height)
        return save(figure, path)


def draw_history(path: Path, history: Mapping[str, Sequence[float]]) -> Path:
    """Loss and accuracy by epoch, as far as ``history`` (columns of history.csv) has them."""
    panels = [("Loss", "train/loss", "val/loss"), ("Accuracy", "train/accuracy", "val/accuracy")]
    with styled():
        figure = new_figure(9.0, 3.6)
        for axes, (title, train, validation) in zip(figure.subplots(1, 2), panels, strict=True):
            _draw_course(axes, history, train, "training", ORANGE)
            _draw_course(axes, history, validation, "validation", BLUE)
            _mark_best(axes, history, validation, lowest=title == "Loss")
            axes.set_title(title)
            axes.set_xlabel("Epoch")
            axes.xaxis.get_major_locator().set_params(integer=True)
            if axes.get_lines():
                axes.legend(loc="best")
        return save(figure, path)


def draw_folds(
    path: Path, figures: Mapping[str, NDArray[np.float64]], limits: Mapping[str, Interval]
) -> Path:
    """A box for each figure, every fold a point, and beside it the mean with its ``limits``.

    ``figures``: (F,) each, NaN where undefined. The box holds the middle half of the folds, its line is
    their median, and the whiskers reach to the outermost ones.
    """
    shown = {name: values[~np.isnan(values)] for name, values in figures.items() if name in OF_FOLDS}
    shown = {name: shown[name] for name in OF_FOLDS if len(shown.get(name, ()))}
    with styled():
        figure = new_figure(1.55 * len(shown) + 0.3, 3.7)
        panels = figure.subplots(1, len(shown), squeeze=False)[0]
        for axes, (name, values) in zip(panels, shown.items(), strict=True):
            _draw_box(axes, values)
            _draw_limits(axes, values, limits[name])
            axes.set_title(OF_FOLDS[name], loc="center", fontsize=9.0)
            axes.set(xlim=(-0.75, 1.1), xticks=())
            axes.spines["bottom"].set_visible(False)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
        return save(figure, path)


def _draw_matrix(
    axes: Axes, values: NDArray[np.float64], classes: Sequence[str], title: str, unit: str
) -> None:
    shades = SHADES.with_extremes(bad="#eef0f3")
    top = np.nanmax(values, initial=0) or 1.0
    # shades follow the square root, so that rare confusions are seen beside the diagonal
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
    """All names where they fit, else as many as do, at equal steps."""
    step = math.ceil(len(classes) / NAMED)
    places = range(0, len(classes), step)
    names = [classes[place] for place in places]
    size = 8.0 if len(classes) <= ANNOTATED else 5.5
    slanted = len(classes) > ANNOTATED or max(map(len, names)) > 3
    axes.set_xticks(places, names, rotation=90 if slanted else 0, fontsize=size)
    axes.set_yticks(places, names, fontsize=size)


def _write_numbers(axes: Axes, values: NDArray[np.float64], top: float) -> None:
    size = 8.0 if len(values) <= 12 else 6.0
    for (row, column), value in np.ndenumerate(values):
        colour = "white" if value > 0.25 * top else (INK if value else FAINT)
        axes.text(column, row, _cell(value, top), ha="center", va="center", color=colour, fontsize=size)


def _cell(value: float, top: float) -> str:
    """A count as it is; a rate with two digits, without its zero; a dash for what is undefined."""
    if np.isnan(value):
        return "—"
    if top > 1 or value in (0, 1):
        return f"{value:.0f}"
    return f"{value:.2f}".removeprefix("0") if value >= 0.005 else "<.01"


def _label_rates(axes: Axes, title: str, across: str, up: str) -> None:
    axes.set_title(title)
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel=across, ylabel=up)
    axes.set_box_aspect(1)


def _steps(curves: Sequence[Curve]) -> list[Curve]:
    """Precision-recall curves as stairs: the best precision of each recall holds back to the one before.

    A straight line would promise what no threshold gives.
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
    """A colour for each of a few classes, a veil of many, and the average over them."""
    few = len(curves) <= len(CLASSES)
    colours = [BLUE] if len(curves) == 1 else list(CLASSES) if few else ["#9db4d0"] * len(curves)
    lines = []
    for curve, colour in zip(curves, colours, strict=False):
        lines += axes.plot(curve.x, curve.y, color=colour, linewidth=1.3 if few else 0.5)
    if average is not None:
        lines += axes.plot(average.x, average.y, color=INK, linewidth=2.0)
    return lines


def _reaches_corner(curve: Curve | None) -> bool:
    return curve is not None and float(np.interp(0.1, curve.x, curve.y)) >= 0.95


def _magnify_corner(axes: Axes, curves: Sequence[Curve], average: Curve | None) -> None:
    """Good classifiers differ in the upper left corner only."""
    corner = axes.inset_axes((0.42, 0.1, 0.54, 0.54))
    _plot(corner, curves, average)
    corner.set(xlim=(-0.002, 0.1), ylim=(0.9, 1.002), xticks=(0, 0.05, 0.1), yticks=(0.9, 0.95, 1))
    corner.tick_params(labelsize=7.0)
    corner.spines[:].set_visible(True)
    axes.indicate_inset_zoom(corner, edgecolor=SOFT, alpha=0.6)


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
    axes.bar(low, lack, bottom=shared, color="#f6cfa4", label="missing to the confidence", **bar)
    axes.plot([0, 1], [0, 1], color=SOFT, linewidth=1.0, linestyle=(0, (4, 3)), label="perfect")
    axes.set(xlim=(0, 1), ylim=(0, 1), ylabel="Accuracy")


def _draw_mistake(axes: Axes, mistake: Mistake, left: float, top: float, height: float) -> None:
    """The image with its upper left corner at (``left``, ``top``), and the caption above it."""
    grey = mistake.image.shape[0] == 1
    picture = mistake.image[0] if grey else mistake.image.transpose(1, 2, 0)  # (H, W) or (H, W, 3)
    axes.imshow(
        picture,
        cmap="gray",
        vmin=0,
        vmax=255,
        extent=(left, left + 1, top + height, top),
        aspect="auto",
        interpolation="nearest" if max(picture.shape[:2]) <= 64 else "antialiased",
    )
    names = f"{mistake.actual}{' ' if _is_short(mistake) else chr(10)}→ {mistake.predicted}"
    share = f"{mistake.confidence:.0%}"
    axes.text(left + 0.5, top - 0.12, names, ha="center", va="bottom", fontsize=8.0)
    axes.text(left + 0.5, top - 0.02, share, ha="center", va="bottom", fontsize=7.0, color=SOFT)


def _is_short(mistake: Mistake) -> bool:
    """Whether both names go in one line."""
    return len(mistake.actual) + len(mistake.predicted) <= 20


def _mistakes_title(shown: int, total: int, images: int) -> str:
    which = "All" if shown == total else f"The {shown} most confident of"
    return f"{which} {total:,} mistakes among {images:,} test images (actual → predicted)"


def _draw_no_mistakes(path: Path, images: int) -> Path:
    with styled():
        figure = new_figure(5.6, 1.6)
        text = f"No mistakes among {images:,} test images"
        figure.text(0.5, 0.5, text, ha="center", va="center", fontsize=11.0)
        return save(figure, path)


def _draw_course(
    axes: Axes, history: Mapping[str, Sequence[float]], column: str, label: str, colour: str
) -> None:
    if column not in history:
        return
    marker = "o" if len(history[column]) <= 5 else None  # a line through one point is not seen
    axes.plot(history["epoch"], history[column], color=colour, label=label, marker=marker, markersize=4)


def _mark_best(axes: Axes, history: Mapping[str, Sequence[float]], column: str, lowest: bool) -> None:
    values = np.asarray(history.get(column, ()), dtype=np.float64)
    if not np.isfinite(values).any():
        return
    best = int(np.nanargmin(values) if lowest else np.nanargmax(values))
    word = "lowest" if lowest else "highest"
    axes.plot(history["epoch"][best], values[best], "o", color=BLUE, markersize=5, markeredgecolor="white")
    subtitle(axes, f"{word} on validation {values[best]:.4f}, epoch {history['epoch'][best]:.0f}")


def _draw_box(axes: Axes, values: NDArray[np.float64]) -> None:
    """The box with every value as a point; equal points stand side by side."""
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
        _apart(values),
        values,
        "o",
        color=BLUE,
        markersize=5,
        markeredgecolor="white",
        markeredgewidth=0.7,
        label="one fold",
    )


def _apart(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Places across the box: values that would cover each other stand side by side."""
    size = max(float(np.ptp(values)), 1e-12) / 18  # of a point, in units of the figure
    slots = np.round((values - values.min()) / size).astype(np.int64)
    places = np.zeros(len(values))
    for slot in np.unique(slots):
        rows = np.flatnonzero(slots == slot)
        places[rows] = (np.arange(len(rows)) - (len(rows) - 1) / 2) * min(0.16, 0.7 / len(rows))
    return places


def _draw_limits(axes: Axes, values: NDArray[np.float64], limits: Interval) -> None:
    mean = float(values.mean())
    if np.isfinite(limits.low):
        axes.plot(
            [0.75] * 2, [limits.low, limits.high], color=ORANGE, linewidth=1.8, label="corrected interval"
        )
    axes.plot([0.75], [mean], "D", color=ORANGE, markersize=5.5, markeredgecolor="white", label="mean")
