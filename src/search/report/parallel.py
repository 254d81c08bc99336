"""Parallel coordinates: a line for each trial through its settings to its objectives."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from src.plotting.style import INK, ORANGE, RULE, SOFT, new_figure, save, styled
from src.search.engine.plan import SearchPlan
from src.search.engine.ranking import ranked
from src.search.engine.records import Trial
from src.search.report.axis_scales import AxisScale, number_scale, scale_of
from src.search.report.drawing import (
    LABELS,
    SHADES,
    add_legend,
    kind_of,
    value_of,
    why_empty,
    window_of,
    write_note,
)
from src.search.report.tables import short_names

ABSENT = -0.13  # height at which a line passes an axis whose field its trial does not have


def draw_parallel(path: Path, trials: Sequence[Trial], plan: SearchPlan) -> Path:
    """A line for each trial through all its settings to its objectives: the darker, the better.

    Fields that a trial does not have are passed below their axis.
    """
    first = next(iter(plan.objectives))
    shown = [trial for trial in trials if trial.reused is None and value_of(trial, first) is not None]
    scales = _scales(shown, plan)
    with styled():
        figure = new_figure(max(1.25 * len(scales) + 0.9, 4.6), 4.2)
        axes = figure.subplots()
        axes.set_axis_off()
        axes.set_title("Settings and what came of them")
        if shown:
            _draw_lines(axes, shown, plan, scales)
        else:
            write_note(axes, why_empty(trials))
        absent = {field for field in plan.space.domains for trial in shown if field not in trial.settings}
        _draw_axes(axes, scales, plan, absent)
        axes.set(xlim=(-0.35, len(scales) - 0.65), ylim=(ABSENT - 0.05 if absent else -0.05, 1.17))
        add_legend(figure, _lines_legend(shown, plan))
        return save(figure, path)


def _scales(trials: Sequence[Trial], plan: SearchPlan) -> dict[str, AxisScale]:
    """An axis for each field, then one for each objective."""
    fields = {field: scale_of(domain) for field, domain in plan.space.domains.items()}
    windows = {name: window_of(trials, plan, name) for name in plan.objectives}
    return fields | {name: number_scale(view.low, view.high, view.log) for name, view in windows.items()}


def _draw_lines(
    axes: Axes, trials: Sequence[Trial], plan: SearchPlan, scales: Mapping[str, AxisScale]
) -> None:
    """Pruned ones first, then from the worst to the best, which is drawn in a color of its own."""
    name, direction = next(iter(plan.objectives.items()))
    best = [trial.number for trial in ranked(trials, plan)[:1]]
    heights, goodness = _heights(trials, plan, scales), _goodness(trials, name, direction)
    good = {trial.number for trial in trials if kind_of(trial, plan) == "complete"}
    order = sorted((trial.number for trial in trials), key=lambda n: (n in best, n in good, goodness[n]))
    colors = [ORANGE if n in best else SHADES(goodness[n]) if n in good else RULE for n in order]
    widths = [2.4 if n in best else 1.2 for n in order]
    lines = [_curve(heights[n]) for n in order]
    axes.add_collection(LineCollection(lines, colors=colors, linewidths=widths, capstyle="round"))


def _goodness(trials: Sequence[Trial], name: str, direction: str) -> dict[int, float]:
    """Trial -> its rank from 0 (worst) to 1 (best)."""
    order = sorted(trials, key=lambda trial: value_of(trial, name) or 0.0, reverse=direction == "minimize")
    return {trial.number: place / max(len(order) - 1, 1) for place, trial in enumerate(order)}


def _heights(
    trials: Sequence[Trial], plan: SearchPlan, scales: Mapping[str, AxisScale]
) -> dict[int, list[float]]:
    """Trial -> its height on each axis. Trials of the same value lie side by side, the better the higher."""
    name, direction = next(iter(plan.objectives.items()))
    order = sorted(trials, key=lambda trial: value_of(trial, name) or 0.0, reverse=direction == "minimize")
    heights: dict[int, list[float]] = {trial.number: [] for trial in trials}
    for key, scale in scales.items():
        places = {trial.number: _height(trial, key, plan, scale) for trial in order}
        if key not in plan.objectives:
            places = _spread(places, scale.step)
        for number, place in places.items():
            heights[number].append(place)
    return heights


def _height(trial: Trial, key: str, plan: SearchPlan, scale: AxisScale) -> float:
    if key not in plan.objectives:
        return scale.place(trial.settings[key]) if key in trial.settings else ABSENT
    value = value_of(trial, key)
    return ABSENT if value is None else min(max(scale.place(value), 0.0), 1.0)


def _spread(places: Mapping[int, float], step: float) -> dict[int, float]:
    """Trials at the same place, moved apart by up to a third of a step."""
    together: dict[float, list[int]] = {}
    for number, place in places.items():
        together.setdefault(place, []).append(number)
    spread: dict[int, float] = {}
    for place, numbers in together.items():
        width = min(0.015 * (len(numbers) - 1), 0.06 if place == ABSENT else 0.6 * step)
        offsets = np.linspace(-width / 2, width / 2, len(numbers)) if len(numbers) > 1 else [0.0]
        spread |= {number: place + float(offset) for number, offset in zip(numbers, offsets, strict=True)}
    return spread


def _curve(heights: Sequence[float]) -> NDArray[np.float64]:
    """(points, 2): through the heights at 0, 1, 2 …, level at each."""
    across = np.linspace(0, len(heights) - 1, 24 * (len(heights) - 1) + 1)
    left = np.minimum(across.astype(int), len(heights) - 2)
    share = across - left
    eased = share * share * (3 - 2 * share)
    levels = np.asarray(heights)
    return np.column_stack([across, levels[left] + (levels[left + 1] - levels[left]) * eased])


def _draw_axes(axes: Axes, scales: Mapping[str, AxisScale], plan: SearchPlan, absent: set[str]) -> None:
    halo = [patheffects.withStroke(linewidth=2.5, foreground="white")]
    names = short_names(plan.space.domains)
    for place, (key, scale) in enumerate(scales.items()):
        objective = key in plan.objectives
        axes.plot(
            [place, place], [0, 1], color=INK if objective else SOFT, linewidth=1.4 if objective else 0.9
        )
        for height, text in scale.ticks:
            axes.plot([place - 0.025, place], [height, height], color=SOFT, linewidth=0.8)
            axes.text(place - 0.05, height, text, fontsize=7.5, ha="right", va="center", path_effects=halo)
        if key in absent:
            axes.text(place, ABSENT, "absent", color=SOFT, fontsize=7.5, ha="center", path_effects=halo)
        label = LABELS.get(key, key).replace(" ", "\n", 1) if objective else names[key].replace(".", "\n")
        axes.text(place, 1.04, label, fontsize=8.5, fontweight="bold" if objective else "normal", ha="center")


def _lines_legend(trials: Sequence[Trial], plan: SearchPlan) -> list[Line2D]:
    best = [(ORANGE, f"the best, trial {trial.number}") for trial in ranked(trials, plan)[:1]]
    good = [(SHADES(0.9), "better"), (SHADES(0.0), "worse")] if len(trials) > 1 else []
    others = any(kind_of(trial, plan) != "complete" for trial in trials)
    gray = [(RULE, "pruned, or breaks a constraint")] if others else []
    return [Line2D([], [], color=color, label=label, linewidth=2) for color, label in best + good + gray]
