"""The subgroups of the test images as a table and a figure."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from src.config.schema.evaluate import Evaluate
from src.core.csv_files import write_csv
from src.core.metric_names import with_limits
from src.evaluation.metrics.classification import predict
from src.evaluation.predictions import Predictions
from src.evaluation.robustness.headline import COLUMNS
from src.evaluation.robustness.subgroups import Subgroup, find_subgroups
from src.plotting.style import BLUE, ORANGE, SOFT, legible, new_figure, save, styled, subtitle

TABLE = "subgroups.csv"
GAP = ("gap", "gap/low", "gap/high")  # accuracy minus that of all other test images


def publish_subgroups(
    folder: Path, tested: Predictions, columns: Mapping[str, Sequence[str]], settings: Evaluate, seed: int
) -> tuple[list[Subgroup], Path]:
    """Write subgroups.csv and subgroups.png into ``folder``; returns the subgroups, and the figure.

    Args:
        folder: receives them.
        tested: predictions for n test images.
        columns: what each column says of all N images.
        settings: section ``evaluate``.
        seed: of the configuration.
    """
    cells = {name: np.array(values)[tested.ids] for name, values in columns.items()}
    predicted = predict(tested.probabilities)
    found = find_subgroups(predicted, tested.targets, cells, len(tested.classes), settings, seed)
    write_subgroups(folder / TABLE, found)
    accuracy = float((predicted == tested.targets).mean())
    return found, draw_subgroups(folder / "subgroups.png", found, accuracy, settings.confidence)


def subgroup_rows(found: Sequence[Subgroup]) -> list[list[object]]:
    """The lines of the table; a metric without an interval is NaN."""
    return [
        [
            *(each.column, each.value, each.images),
            *(each.metrics[name] for name in COLUMNS),
            *(each.gap, each.limits.low, each.limits.high, each.note),
        ]
        for each in found
    ]


def write_subgroups(path: Path, found: Sequence[Subgroup]) -> None:
    """One line for each subgroup."""
    write_csv(path, ["column", "value", "images", *COLUMNS, *GAP, "note"], subgroup_rows(found))


def draw_subgroups(path: Path, found: Sequence[Subgroup], accuracy: float, confidence: float) -> Path:
    """Draw the accuracy of each subgroup with its interval, the columns one below the other.

    Args:
        path: the PNG file.
        found: at least one.
        accuracy: of all test images.
        confidence: of the intervals.
    """
    columns = list(dict.fromkeys(each.column for each in found))
    heights = [sum(each.column == name for each in found) + 1.0 for name in columns]
    with styled():
        figure = new_figure(6.6, 0.26 * sum(heights) + 0.5 * len(columns) + 0.5)
        panels = figure.subplots(len(columns), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
        for axes, column, title in zip(panels, columns, legible(columns), strict=True):
            _draw_column(axes, [each for each in found if each.column == column], accuracy)
            axes.set_title(title)
        subtitle(panels[0], f"{100 * confidence:.4g}% intervals; dashed: all test images; right: images")
        panels[-1].set_xlabel("Accuracy on the test images")
        return save(figure, path)


def _draw_column(axes: Axes, found: Sequence[Subgroup], accuracy: float) -> None:
    places = range(len(found))
    values, low, high = (
        np.array([each.metrics[name] for each in found]) for name in with_limits("test/accuracy")
    )
    axes.axvline(accuracy, color=ORANGE, linewidth=1.0, linestyle=(0, (4, 3)))
    reach = np.maximum((values - low, high - values), 0)  # rounding may bring an end within
    axes.errorbar(values, places, xerr=reach, color=BLUE, fmt="o", capsize=3, ms=4)
    axes.set(xlim=(-0.01, 1.01), ylim=(len(found) - 0.5, -0.5))
    axes.set_yticks(places, legible([each.value or "(empty)" for each in found]))
    axes.grid(axis="y", visible=False)
    for place, each in zip(places, found, strict=True):
        axes.text(1.03, place, f"{each.images:,}", color=SOFT, fontsize=8.0, va="center")
