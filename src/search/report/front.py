"""The Pareto front: one objective against another."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from src.plotting.style import INK, ORANGE, SOFT, new_figure, save, styled, subtitle
from src.search.engine.constraints import parse_constraint
from src.search.engine.plan import SearchPlan
from src.search.engine.ranking import pareto_front
from src.search.engine.records import Trial
from src.search.report.drawing import (
    LABELS,
    MARKS,
    add_legend,
    draw_mark,
    kind_of,
    legend_of,
    set_ticks,
    set_up_values,
    value_of,
    values_of,
    whole_window,
    why_empty,
    window_of,
    write_note,
)

FORBIDDEN = "#f1f2f5"  # by a constraint
NUMBERED = 12  # points of the front up to which each is numbered


def draw_front(path: Path, trials: Sequence[Trial], plan: SearchPlan) -> Path:
    """The first objective against each other one. With two objectives the front is a line: nothing that was
    tried is better in both."""
    first, *others = plan.objectives
    with styled():
        figure = new_figure(1.0 + 5.6 * len(others), 4.5)
        panels = figure.subplots(1, len(others), sharey=True, squeeze=False)[0]
        for axes, other in zip(panels, others, strict=True):
            _draw_plane(axes, trials, plan, other, first)
        panels[0].set_title("Pareto front")
        panels[0].set_ylabel(LABELS.get(first, first))
        subtitle(panels[-1], f"{len(pareto_front(trials, plan))} of {len(trials)} trials on it")
        add_legend(figure, _front_legend(trials, plan))
        return save(figure, path)


def _draw_plane(axes: Axes, trials: Sequence[Trial], plan: SearchPlan, across: str, up: str) -> None:
    shown = [
        trial for trial in trials if value_of(trial, across) is not None and value_of(trial, up) is not None
    ]
    window, width = window_of(shown, plan, up), whole_window(across, values_of(shown, across))
    axes.set(xlabel=LABELS.get(across, across), xscale="log" if width.log else "linear")
    axes.set_xlim(width.low, width.high)
    set_ticks(axes.xaxis, across, width)
    set_up_values(axes, up, window)
    _draw_bounds(axes, plan, across, up)
    front = pareto_front(trials, plan)
    if len(plan.objectives) == 2:
        _draw_front_line(axes, front, plan, across, up)
    on_front = {trial.number for trial in front}
    for trial in sorted(shown, key=lambda trial: (trial.number in on_front, trial.number)):
        emphasis = {"color": ORANGE, "markersize": 7} if trial.number in on_front else {}
        x, y = value_of(trial, across) or 0.0, value_of(trial, up) or 0.0
        draw_mark(axes, x, y, kind_of(trial, plan), window, **emphasis)
    if not shown:
        write_note(axes, why_empty(trials))


def _draw_bounds(axes: Axes, plan: SearchPlan, across: str, up: str) -> None:
    """A shade over what the constraints forbid, as far as it lies in the picture."""
    for constraint in plan.constraints:
        metric, relation, bound = parse_constraint(constraint)
        if metric not in (across, up):
            continue
        low, high = axes.get_xlim() if metric == across else axes.get_ylim()
        start, end = (max(bound, low), high) if relation == "<=" else (low, min(bound, high))
        if start < end:
            span = axes.axvspan if metric == across else axes.axhspan
            span(start, end, color=FORBIDDEN, zorder=0)
            _name_bound(axes, constraint, bound, vertical=metric == across)


def _name_bound(axes: Axes, constraint: str, bound: float, vertical: bool) -> None:
    """In the shade, along its edge."""
    place: dict[str, Any] = {"textcoords": "offset points", "fontsize": 7.0, "color": SOFT}
    place["path_effects"] = [patheffects.withStroke(linewidth=2.5, foreground=FORBIDDEN)]
    if vertical:
        place |= {"xycoords": axes.get_xaxis_transform(), "xytext": (3, 0), "rotation": 90, "va": "top"}
        axes.annotate(constraint, (bound, 0.98), **place)
    else:
        place |= {"xycoords": axes.get_yaxis_transform(), "xytext": (0, -3), "ha": "right", "va": "top"}
        axes.annotate(constraint, (0.99, bound), **place)


def _draw_front_line(axes: Axes, front: Sequence[Trial], plan: SearchPlan, across: str, up: str) -> None:
    """Stairs: what is nowhere beaten, as far as is known."""
    points = sorted(
        (trial.outcome.metrics[across], trial.outcome.metrics[up], trial.number) for trial in front
    )
    xs, ys = [x for x, _, _ in points], [y for _, y, _ in points]
    turn = "steps-post" if plan.objectives[across] == "minimize" else "steps-pre"
    axes.plot(xs, ys, color=INK, linewidth=1.2, drawstyle=turn)
    for x, y, number in points if len(points) <= NUMBERED else []:
        aside: dict[str, Any] = {"xytext": (0, 7), "textcoords": "offset points", "ha": "center"}
        axes.annotate(str(number), (x, y), fontsize=7.0, color=SOFT, **aside)


def _front_legend(trials: Sequence[Trial], plan: SearchPlan) -> list[Line2D]:
    shown = legend_of([trial for trial in trials if trial.outcome.state != "failed"], plan)
    if not pareto_front(trials, plan):
        return shown
    mark = {**MARKS["complete"], "color": ORANGE, "markersize": 7}
    return [Line2D([], [], linestyle="none", label="on the front", **mark), *shown]
