"""Accuracy against latency: what speed costs, and which models are on the Pareto front."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from src.core.pareto import pareto_mask
from src.leaderboard.table.rows import BASE, LeaderboardRow
from src.plotting.labels import Box, LabelledPoint, place_labels
from src.plotting.style import INK, SOFT, legible, new_figure, save, styled, subtitle

LARGEST = 1100.0  # area of the bubble with the most bytes, in square points
SMALLEST = 14.0  # area of a bubble that would otherwise be invisible
FONT = 8.0
LATENCY, ACCURACY, BYTES = "speed/latency_p50_ms", "val/accuracy", "model/bytes"
FRONT, DOMINATED = "#e28f40", "#7da2cb"  # pale orange and blue: a name may have to cover them
FACTORS = ((1, 2, 5), (1, 1.5, 2, 3, 5, 7), (1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9))


@dataclass(frozen=True)
class Bubble:
    """A model with all three metrics."""

    name: str
    latency: float  # ms for one image
    accuracy: float  # on the validation images
    bytes: float
    front: bool  # no model is both faster and more accurate


def draw_pareto(path: Path, rows: Sequence[LeaderboardRow], conditions: str) -> Path:
    """Draw a bubble for each model, its area in proportion to the bytes of its file.

    Failed variants are named below. The base, which runs in PyTorch, has a dark edge.

    Args:
        path: the PNG file.
        rows: of the leaderboard.
        conditions: of the measurement, in words.
    """
    bubbles = find_bubbles(rows)
    with styled():
        figure = new_figure(8.4, 5.2)
        figure.set_layout_engine("constrained", rect=(0, 0, 0.985, 1))
        axes = figure.subplots()
        axes.set_title("Accuracy against latency")
        subtitle(axes, "bubble area: bytes of the file")
        axes.set(xlabel=f"Milliseconds for one image, {conditions}", ylabel="Validation accuracy")
        floor = _set_axes(axes, bubbles)
        _draw_front(axes, bubbles, floor)
        # small ones over large ones, and of about the same size those of the front over the others
        for bubble in sorted(bubbles, key=lambda b: (-round(math.log2(b.bytes)), b.front)):
            _draw_bubble(axes, bubble, _area(bubble, bubbles), floor)
        _explain(figure, bubbles, [row.name for row in rows if row.reason is not None])
        _name(figure, axes, bubbles, floor)
        return save(figure, path)


def find_bubbles(rows: Sequence[LeaderboardRow]) -> list[Bubble]:
    """The rows that can be drawn, by latency."""
    needed = {LATENCY, ACCURACY, BYTES}
    known = [(row.name, row.metrics) for row in rows if needed <= row.metrics.keys()]
    losses = [(metrics[LATENCY], -metrics[ACCURACY]) for _, metrics in known]
    found = [
        Bubble(name, metrics[LATENCY], metrics[ACCURACY], metrics[BYTES], front)
        for (name, metrics), front in zip(known, pareto_mask(losses), strict=True)
    ]
    return sorted(found, key=lambda bubble: (bubble.latency, bubble.accuracy))


def _set_axes(axes: Axes, bubbles: Sequence[Bubble]) -> float:
    """Set limits with room for bubbles and names; returns the lowest accuracy that is drawn to scale.

    A model that has learned nothing must not squeeze the others together.
    """
    times, accuracies = [b.latency for b in bubbles], [b.accuracy for b in bubbles]
    best, floor = max(accuracies), _floor(accuracies)
    margin = 0.16 * (best - floor) or 0.01
    axes.set_ylim(floor - 1.3 * margin, min(best + margin, 1 + margin / 2))
    axes.yaxis.set_major_locator(MaxNLocator(6))
    spread = max(max(times) / min(times), 1.5)
    low, high = min(times) / spread**0.16, max(times) * spread**0.16
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(FixedLocator(_round_values(low, high)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}"))
    return floor


def _floor(accuracies: Sequence[float]) -> float:
    """The lowest accuracy near the others, or somewhat less if there are lower ones."""
    best, reach = max(accuracies), 8 * (max(accuracies) - float(np.median(accuracies)))
    least = min(value for value in accuracies if value >= best - reach or not reach)
    return least if least == min(accuracies) else least - 0.25 * (best - least)


def _round_values(low: float, high: float) -> list[float]:
    """Round numbers in between, at least four where possible."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in FACTORS:
        values = [
            factor * 10.0**power
            for power in powers
            for factor in factors
            if low <= factor * 10.0**power <= high
        ]
        if len(values) >= 4:
            break
    return values


def _draw_front(axes: Axes, bubbles: Sequence[Bubble], floor: float) -> None:
    """Draw stairs: the best known accuracy for each latency."""
    steps = [(b.latency, max(b.accuracy, floor)) for b in bubbles if b.front]
    steps.append((axes.get_xlim()[1], steps[-1][1]))
    axes.plot(*zip(*steps, strict=True), color=INK, linewidth=1.1, drawstyle="steps-post", zorder=2)


def _draw_bubble(axes: Axes, bubble: Bubble, area: float, floor: float) -> None:
    color, base = (FRONT if bubble.front else DOMINATED), bubble.name == BASE
    axes.scatter(
        bubble.latency,
        max(bubble.accuracy, floor),
        s=area,
        marker="o" if bubble.accuracy >= floor else "v",
        color=color,
        edgecolors=INK if base else "white",
        linewidths=1.6 if base else 0.8,
        zorder=3,
        clip_on=False,
    )


def _area(bubble: Bubble, bubbles: Sequence[Bubble]) -> float:
    return max(SMALLEST, LARGEST * bubble.bytes / max(other.bytes for other in bubbles))


def _name(figure: Figure, axes: Axes, bubbles: Sequence[Bubble], floor: float) -> None:
    """Write names beside the bubbles; a thin line leads to distant ones."""
    figure.draw_without_rendering()  # the layout decides where the bubbles are
    pixels = figure.dpi / 72
    texts = [
        _text(bubble, name, floor) for bubble, name in zip(bubbles, legible(_names(bubbles)), strict=True)
    ]
    places = axes.transData.transform([(b.latency, max(b.accuracy, floor)) for b in bubbles])
    points = [
        LabelledPoint(float(x), float(y), math.sqrt(_area(bubble, bubbles)) / 2 * pixels, *_size(axes, text))
        for bubble, text, (x, y) in zip(bubbles, texts, places, strict=True)
    ]
    frame = axes.get_window_extent()
    boxes = place_labels(points, Box(frame.x0, frame.y0, frame.x1, frame.y1), _stairs(axes, bubbles, floor))
    for point, box, text in zip(points, boxes, texts, strict=True):
        _write(axes, point, box, text, pixels)


def _names(bubbles: Sequence[Bubble]) -> list[str]:
    return ["base (PyTorch)" if bubble.name == BASE else bubble.name for bubble in bubbles]


def _text(bubble: Bubble, name: str, floor: float) -> str:
    below = "" if bubble.accuracy >= floor else f", {bubble.accuracy:.3f}"
    return f"{name}\n{_bytes(bubble.bytes)}{below}"


def _bytes(count: float) -> str:
    """1.93 MB, 86 kB."""
    return f"{count / 1e6:.3g} MB" if count >= 999_500 else f"{count / 1e3:.3g} kB"


def _size(axes: Axes, text: str) -> tuple[float, float]:
    """Width and height in pixels."""
    drawn = axes.text(0.5, 0.5, text, fontsize=FONT, linespacing=1.15, transform=axes.transAxes)
    extent = drawn.get_window_extent()
    drawn.remove()
    return extent.width, extent.height


def _stairs(axes: Axes, bubbles: Sequence[Bubble], floor: float) -> list[Box]:
    """The lines of the front as thin boxes, which names should not cover."""
    front = axes.transData.transform([(b.latency, max(b.accuracy, floor)) for b in bubbles if b.front])
    ends = [*front[1:, 0], axes.get_window_extent().x1]
    level = [Box(x, y - 1, end, y + 1) for (x, y), end in zip(front, ends, strict=True)]
    rises = [Box(end - 1, y, end + 1, up) for (_, y), (end, up) in pairwise(front)]
    return [*level, *rises]


def _write(axes: Axes, point: LabelledPoint, box: Box, text: str, pixels: float) -> None:
    x, y = (box.left + box.right) / 2, (box.bottom + box.top) / 2
    nearest = min(max(point.x, box.left), box.right), min(max(point.y, box.bottom), box.top)
    far = math.dist(nearest, (point.x, point.y)) > point.radius + 8
    leader = {"arrowstyle": "-", "color": SOFT, "linewidth": 0.7, "shrinkA": 1}
    leader["shrinkB"] = point.radius / pixels - 1
    across, up = axes.transData.inverted().transform((point.x, point.y))
    note = axes.annotate(
        text,
        (float(across), float(up)),
        xytext=((x - point.x) / pixels, (y - point.y) / pixels),
        textcoords="offset points",
        fontsize=FONT,
        linespacing=1.15,
        ha="center",
        va="center",
        color=INK,
        path_effects=[patheffects.withStroke(linewidth=2.5, foreground="white")],
        arrowprops=leader if far else None,
        zorder=5,
    )
    note.set_in_layout(False)


def _explain(figure: Figure, bubbles: Sequence[Bubble], failed: Sequence[str]) -> None:
    kinds = [("on the front", FRONT)] if all(b.front for b in bubbles) else [
        ("on the front: no model is faster and better", FRONT), ("dominated", DOMINATED)
    ]  # fmt: skip
    handles = [
        Line2D(
            [], [], linestyle="none", marker="o", color=color, markersize=7, markeredgewidth=0, label=label
        )
        for label, color in kinds
    ]
    if failed:
        text = f"failed: {', '.join(legible(failed))}"
        handles.append(Line2D([], [], linestyle="none", marker="x", color=SOFT, markersize=5, label=text))
    figure.legend(handles=handles, loc="outside lower left", ncols=len(handles))
