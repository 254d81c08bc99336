"""The pictures of a search. Each function draws one PNG and returns its path; equal arguments give equal
bytes."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.markers import CARETDOWN, CARETUP
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from src.plotting.style import BLUE, INK, ORANGE, RULE, SOFT, new_figure, save, styled, subtitle
from src.search.engine.constraints import feasible, parse_constraint
from src.search.engine.ranking import pareto_front, ranked
from src.search.engine.records import Trial
from src.search.report.axis_scales import AxisScale, number_scale, scale_of, tick_text
from src.search.report.tables import short_figure, short_names

if TYPE_CHECKING:
    from src.search.engine.plan import SearchPlan

LABELS = {
    "val/accuracy": "Validation accuracy",
    "val/loss": "Validation loss",
    "parameters": "Parameters",
    "macs": "Multiply-adds",
    "bytes": "Bytes",
}
RED = "#bd1f01"  # failed
FORBIDDEN = "#f1f2f5"  # by a constraint
PALE = "#b4bac4"  # pruned, or not admitted
SHADES = LinearSegmentedColormap.from_list("shades", ["#c9d9ea", "#6ea6dc", "#1f5fa8", "#0d2f5c"])
COUNTS = ("parameters", "macs", "bytes")
PANELS = 4  # in a row
NUMBERED = 12  # points of the front up to which each is numbered
ABSENT = -0.13  # height at which a line passes an axis whose field its trial does not have
# How each kind of trial is drawn, in the order of the legend.
MARKS: Mapping[str, dict[str, Any]] = {
    "complete": {"marker": "o", "color": BLUE, "markersize": 5.5, "markeredgecolor": "white"},
    "reused": {"marker": "o", "color": "white", "markersize": 5, "markeredgecolor": BLUE},
    "breaks a constraint": {"marker": "o", "color": "white", "markersize": 5, "markeredgecolor": PALE},
    "pruned": {"marker": "v", "color": ORANGE, "markersize": 5.5, "markeredgewidth": 0},
    "failed": {"marker": "x", "color": RED, "markersize": 5, "markeredgewidth": 1.4},
}


@dataclass(frozen=True)
class Window:
    """What an axis shows."""

    low: float
    high: float
    log: bool = False


def draw_history(path: Path, trials: Sequence[Trial], plan: "SearchPlan") -> Path:
    """Every objective by the number of the trial, and the best so far as a line of steps."""
    objectives = list(plan.objectives)
    with styled():
        figure = new_figure(7.4, 0.7 + 2.9 * len(objectives))
        panels = figure.subplots(len(objectives), 1, sharex=True, squeeze=False)[:, 0]
        for axes, name in zip(panels, objectives, strict=True):
            _draw_course(axes, trials, plan, name)
        panels[-1].set(xlabel="Trial", xlim=(-0.6, max(len(trials), 1) - 0.4))
        panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        line = Line2D([], [], color=INK, linewidth=1.4, label="best so far")
        _explain(figure, [line, *_legend(trials, plan)])
        return save(figure, path)


def draw_parallel(path: Path, trials: Sequence[Trial], plan: "SearchPlan") -> Path:
    """A line for each trial through all its settings to its objectives: the darker, the better.

    Fields that a trial does not have are passed below their axis.
    """
    first = next(iter(plan.objectives))
    shown = [trial for trial in trials if trial.reused is None and _value(trial, first) is not None]
    scales = _scales(shown, plan)
    with styled():
        figure = new_figure(max(1.25 * len(scales) + 0.9, 4.6), 4.2)
        axes = figure.subplots()
        axes.set_axis_off()
        axes.set_title("Settings and what came of them")
        if shown:
            _draw_lines(axes, shown, plan, scales)
        else:
            _say(axes, _nothing(trials))
        absent = {field for field in plan.space.domains for trial in shown if field not in trial.settings}
        _draw_axes(axes, scales, plan, absent)
        axes.set(xlim=(-0.35, len(scales) - 0.65), ylim=(ABSENT - 0.05 if absent else -0.05, 1.17))
        _explain(figure, _lines_legend(shown, plan))
        return save(figure, path)


def draw_slices(path: Path, trials: Sequence[Trial], plan: "SearchPlan") -> Path:
    """A panel for each field: its value against the objective; the darker, the later the trial."""
    fields, objectives = list(plan.space.domains), list(plan.objectives)
    columns = min(PANELS, len(fields))
    rows = math.ceil(len(fields) / columns)
    with styled():
        figure = new_figure(2.35 * columns + 1.3, 2.3 * rows * len(objectives) + 0.9)
        grid = figure.subplots(rows * len(objectives), columns, squeeze=False)
        for block, objective in enumerate(objectives):
            panels = grid[block * rows : (block + 1) * rows].ravel()
            for place, (axes, field) in enumerate(zip(panels, fields, strict=False)):
                _draw_slice(axes, trials, plan, field, objective)
                _label_slice(axes, plan, field, objective, place % columns == 0)
            for axes in panels[len(fields) :]:
                axes.set_axis_off()
        shades = ScalarMappable(_numbers(trials), SHADES)
        bar = figure.colorbar(
            shades, ax=grid, label="Trial", aspect=22 * rows * len(objectives), fraction=0.05, pad=0.02
        )
        bar.outline.set_visible(False)
        bar.ax.yaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
        _explain(figure, _legend([trial for trial in trials if trial.reused is None], plan))
        return save(figure, path)


def draw_front(path: Path, trials: Sequence[Trial], plan: "SearchPlan") -> Path:
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
        _explain(figure, _front_legend(trials, plan))
        return save(figure, path)


def _kind(trial: Trial, plan: "SearchPlan") -> str:
    if trial.outcome.state != "complete":
        return trial.outcome.state
    if not feasible(trial.outcome.metrics, plan.constraints):
        return "breaks a constraint"
    return "complete" if trial.reused is None else "reused"


def _value(trial: Trial, objective: str) -> float | None:
    """The figure, or what a pruned trial reported last; None for failed ones."""
    if trial.outcome.state == "failed":
        return None
    value = trial.outcome.metrics.get(objective)
    if value is None and trial.outcome.state == "pruned" and trial.outcome.steps:
        value = trial.outcome.steps[max(trial.outcome.steps)]
    return value if value is not None and math.isfinite(value) else None


def _values(trials: Iterable[Trial], objective: str) -> list[float]:
    return [value for trial in trials if (value := _value(trial, objective)) is not None]


def _window(trials: Sequence[Trial], plan: "SearchPlan", objective: str) -> Window:
    """The part of the axis in which the better half of the trials can be told apart.

    A few that learned nothing must not squash it: they are drawn at its edge. Counts over more than a power
    of ten are spread by their logarithm.
    """
    values, way = _values(trials, objective), plan.objectives[objective]
    if not values or _is_wide(objective, values):
        return _whole(objective, values)
    best, worst = (max(values), min(values)) if way == "maximize" else (min(values), max(values))
    reach = 4 * abs(best - float(np.median(values)))
    edge = worst if reach == 0 or abs(worst - best) <= reach else best + math.copysign(reach, worst - best)
    return _whole(objective, [best, edge])


def _whole(objective: str, values: Sequence[float]) -> Window:
    """From the least to the greatest, with some room, more of it below for the marks of failed trials."""
    if not values:
        return Window(0.0, 1.0)
    low, high = min(values), max(values)
    if _is_wide(objective, values):
        return Window(low / 1.8, high * 1.3, log=True)
    margin = 0.06 * (high - low) or 0.02 * abs(high) or 1.0
    return Window(low - 2 * margin, high + margin)


def _is_wide(objective: str, values: Sequence[float]) -> bool:
    return objective in COUNTS and 0 < 10 * min(values) < max(values)


def _mark(axes: Axes, x: float, y: float, kind: str, window: Window, **changes: Any) -> None:
    """One trial; outside of the window it is an arrow at its edge."""
    mark = {**MARKS[kind], **changes}
    if not window.low <= y <= window.high:
        mark |= {"marker": CARETUP if y > window.high else CARETDOWN, "alpha": 0.6, "clip_on": False}
    axes.plot(x, min(max(y, window.low), window.high), linestyle="none", **mark)


def _mark_failed(axes: Axes, x: float) -> None:
    axes.plot(x, 0.06, linestyle="none", transform=axes.get_xaxis_transform(), **MARKS["failed"])


def _draw_course(axes: Axes, trials: Sequence[Trial], plan: "SearchPlan", name: str) -> None:
    way, window = plan.objectives[name], _window(trials, plan, name)
    _set_up(axes, name, window)
    steps = _best_so_far(trials, plan, name)
    if steps:
        across, up = zip(*steps, strict=True)
        axes.plot(across, up, color=INK, linewidth=1.4, drawstyle="steps-post")
        subtitle(axes, f"{'highest' if way == 'maximize' else 'lowest'} {short_figure(name, up[-1])}")
    for trial in trials:
        value = _value(trial, name)
        if value is not None:
            _mark(axes, trial.number, value, _kind(trial, plan), window)
        elif trial.outcome.state == "failed":
            _mark_failed(axes, trial.number)
    axes.set_title(LABELS.get(name, name))
    if not _values(trials, name):
        _say(axes, _nothing(trials))


def _best_so_far(trials: Sequence[Trial], plan: "SearchPlan", name: str) -> list[tuple[float, float]]:
    """(number, best value up to there), up to the last trial."""
    better = max if plan.objectives[name] == "maximize" else min
    steps: list[tuple[float, float]] = []
    for trial in trials:
        value = _value(trial, name) if _kind(trial, plan) in ("complete", "reused") else None
        if value is not None:
            steps.append((trial.number, better(value, steps[-1][1]) if steps else value))
    return [*steps, (trials[-1].number + 0.4, steps[-1][1])] if steps else []


def _scales(trials: Sequence[Trial], plan: "SearchPlan") -> dict[str, AxisScale]:
    """An axis for each field, then one for each objective."""
    fields = {field: scale_of(domain) for field, domain in plan.space.domains.items()}
    windows = {name: _window(trials, plan, name) for name in plan.objectives}
    return fields | {name: number_scale(view.low, view.high, view.log) for name, view in windows.items()}


def _draw_lines(
    axes: Axes, trials: Sequence[Trial], plan: "SearchPlan", scales: Mapping[str, AxisScale]
) -> None:
    """Pruned ones first, then from the worst to the best, which is drawn in a colour of its own."""
    name, way = next(iter(plan.objectives.items()))
    best = [trial.number for trial in ranked(trials, plan)[:1]]
    heights, goodness = _heights(trials, plan, scales), _goodness(trials, name, way)
    good = {trial.number for trial in trials if _kind(trial, plan) == "complete"}
    order = sorted((trial.number for trial in trials), key=lambda n: (n in best, n in good, goodness[n]))
    colours = [ORANGE if n in best else SHADES(goodness[n]) if n in good else RULE for n in order]
    widths = [2.4 if n in best else 1.2 for n in order]
    lines = [_curve(heights[n]) for n in order]
    axes.add_collection(LineCollection(lines, colors=colours, linewidths=widths, capstyle="round"))


def _goodness(trials: Sequence[Trial], name: str, way: str) -> dict[int, float]:
    """Trial -> its rank from 0 (worst) to 1 (best)."""
    order = sorted(trials, key=lambda trial: _value(trial, name) or 0.0, reverse=way == "minimize")
    return {trial.number: place / max(len(order) - 1, 1) for place, trial in enumerate(order)}


def _heights(
    trials: Sequence[Trial], plan: "SearchPlan", scales: Mapping[str, AxisScale]
) -> dict[int, list[float]]:
    """Trial -> its height on each axis. Trials of the same value lie side by side, the better the higher."""
    name, way = next(iter(plan.objectives.items()))
    order = sorted(trials, key=lambda trial: _value(trial, name) or 0.0, reverse=way == "minimize")
    heights: dict[int, list[float]] = {trial.number: [] for trial in trials}
    for key, scale in scales.items():
        places = {trial.number: _height(trial, key, plan, scale) for trial in order}
        if key not in plan.objectives:
            places = _spread(places, scale.step)
        for number, place in places.items():
            heights[number].append(place)
    return heights


def _height(trial: Trial, key: str, plan: "SearchPlan", scale: AxisScale) -> float:
    if key not in plan.objectives:
        return scale.place(trial.settings[key]) if key in trial.settings else ABSENT
    value = _value(trial, key)
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


def _draw_axes(axes: Axes, scales: Mapping[str, AxisScale], plan: "SearchPlan", absent: set[str]) -> None:
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


def _lines_legend(trials: Sequence[Trial], plan: "SearchPlan") -> list[Line2D]:
    best = [(ORANGE, f"the best, trial {trial.number}") for trial in ranked(trials, plan)[:1]]
    good = [(SHADES(0.9), "better"), (SHADES(0.0), "worse")] if len(trials) > 1 else []
    others = any(_kind(trial, plan) != "complete" for trial in trials)
    grey = [(RULE, "pruned, or breaks a constraint")] if others else []
    return [Line2D([], [], color=colour, label=label, linewidth=2) for colour, label in best + good + grey]


def _draw_slice(axes: Axes, trials: Sequence[Trial], plan: "SearchPlan", field: str, objective: str) -> None:
    scale, shade = scale_of(plan.space.domains[field]), _numbers(trials)
    window = _window(trials, plan, objective)
    here = [trial for trial in trials if field in trial.settings and trial.reused is None]
    for trial in here:
        value, kind = _value(trial, objective), _kind(trial, plan)
        x = scale.place(trial.settings[field]) + _sway(trial) * scale.step
        if value is not None:
            _mark(
                axes,
                x,
                value,
                kind,
                window,
                **({"color": SHADES(shade(trial.number))} if kind == "complete" else {}),
            )
        elif kind == "failed":
            _mark_failed(axes, x)
    axes.set_xlim(-0.06, 1.06)
    _set_up(axes, objective, window)
    places, texts = zip(*scale.ticks, strict=True)
    axes.set_xticks(places, texts, rotation=30 if sum(map(len, texts)) > 24 else 0)


def _sway(trial: Trial) -> float:
    """A little aside, so that equal values do not hide each other: the golden ratio spreads evenly."""
    return 0.5 * ((trial.number * 0.618034) % 1 - 0.5)


def _label_slice(axes: Axes, plan: "SearchPlan", field: str, objective: str, first: bool) -> None:
    axes.set_xlabel(short_names(plan.space.domains)[field])
    axes.tick_params(labelleft=first)
    if first:
        axes.set_ylabel(LABELS.get(objective, objective))


def _numbers(trials: Sequence[Trial]) -> Normalize:
    return Normalize(0, max(len(trials) - 1, 1))


def _draw_plane(axes: Axes, trials: Sequence[Trial], plan: "SearchPlan", across: str, up: str) -> None:
    shown = [trial for trial in trials if _value(trial, across) is not None and _value(trial, up) is not None]
    window, width = _window(shown, plan, up), _whole(across, _values(shown, across))
    axes.set(xlabel=LABELS.get(across, across), xscale="log" if width.log else "linear")
    axes.set_xlim(width.low, width.high)
    _set_ticks(axes.xaxis, across, width)
    _set_up(axes, up, window)
    _draw_bounds(axes, plan, across, up)
    front = pareto_front(trials, plan)
    if len(plan.objectives) == 2:
        _draw_front_line(axes, front, plan, across, up)
    on_front = {trial.number for trial in front}
    for trial in sorted(shown, key=lambda trial: (trial.number in on_front, trial.number)):
        emphasis = {"color": ORANGE, "markersize": 7} if trial.number in on_front else {}
        x, y = _value(trial, across) or 0.0, _value(trial, up) or 0.0
        _mark(axes, x, y, _kind(trial, plan), window, **emphasis)
    if not shown:
        _say(axes, _nothing(trials))


def _draw_bounds(axes: Axes, plan: "SearchPlan", across: str, up: str) -> None:
    """A shade over what the constraints forbid, as far as it lies in the picture."""
    for constraint in plan.constraints:
        figure, relation, bound = parse_constraint(constraint)
        if figure not in (across, up):
            continue
        low, high = axes.get_xlim() if figure == across else axes.get_ylim()
        start, end = (max(bound, low), high) if relation == "<=" else (low, min(bound, high))
        if start < end:
            span = axes.axvspan if figure == across else axes.axhspan
            span(start, end, color=FORBIDDEN, zorder=0)
            _name_bound(axes, constraint, bound, vertical=figure == across)


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


def _draw_front_line(axes: Axes, front: Sequence[Trial], plan: "SearchPlan", across: str, up: str) -> None:
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


def _legend(trials: Sequence[Trial], plan: "SearchPlan") -> list[Line2D]:
    """The kinds that occur."""
    present = {_kind(trial, plan) for trial in trials}
    return [Line2D([], [], linestyle="none", label=kind, **MARKS[kind]) for kind in MARKS if kind in present]


def _front_legend(trials: Sequence[Trial], plan: "SearchPlan") -> list[Line2D]:
    shown = _legend([trial for trial in trials if trial.outcome.state != "failed"], plan)
    if not pareto_front(trials, plan):
        return shown
    mark = {**MARKS["complete"], "color": ORANGE, "markersize": 7}
    return [Line2D([], [], linestyle="none", label="on the front", **mark), *shown]


def _explain(figure: Figure, handles: Sequence[Line2D]) -> None:
    if handles:
        figure.legend(handles=handles, loc="outside lower left", ncols=len(handles))


def _set_up(axes: Axes, objective: str, window: Window) -> None:
    """An objective up the axis."""
    axes.set_yscale("log" if window.log else "linear")
    axes.set_ylim(window.low, window.high)
    _set_ticks(axes.yaxis, objective, window)


def _set_ticks(axis: Axis, objective: str, window: Window) -> None:
    """A few round numbers, short where they are counts."""
    if window.log:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if window.high < 1000 * window.low else (1,)))
        axis.set_minor_locator(NullLocator())
    else:
        axis.set_major_locator(MaxNLocator(6))
    if objective in COUNTS:
        axis.set_major_formatter(FuncFormatter(lambda value, _: tick_text(value)))


def _nothing(trials: Sequence[Trial]) -> str:
    failed = sum(trial.outcome.state == "failed" for trial in trials)
    return f"no figures: {failed} of {len(trials)} trials failed" if trials else "no trials"


def _say(axes: Axes, text: str) -> None:
    box = {"facecolor": "white", "edgecolor": "none"}
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=SOFT, bbox=box)
