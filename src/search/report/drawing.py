"""What the figures of a search share: how trials look, what an axis shows, and the legend."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.markers import CARETDOWN, CARETUP
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from src.plotting.style import BLUE, ORANGE, SOFT
from src.search.engine.constraints import feasible
from src.search.engine.plan import SearchPlan
from src.search.engine.records import Trial
from src.search.report.axis_scales import tick_text

LABELS = {
    "val/accuracy": "Validation accuracy",
    "val/loss": "Validation loss",
    "model/parameters": "Parameters",
    "model/macs": "Multiply-adds",
    "model/bytes": "Bytes",
}
COUNTS = ("model/parameters", "model/macs", "model/bytes")
RED = "#bd1f01"  # failed
PALE = "#b4bac4"  # violates a constraint
SHADES = LinearSegmentedColormap.from_list("shades", ["#c9d9ea", "#6ea6dc", "#1f5fa8", "#0d2f5c"])
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


def kind_of(trial: Trial, plan: SearchPlan) -> str:
    if trial.outcome.state != "complete":
        return trial.outcome.state
    if not feasible(trial.outcome.metrics, plan.constraints):
        return "breaks a constraint"
    return "complete" if trial.reused is None else "reused"


def value_of(trial: Trial, objective: str) -> float | None:
    """The value, or what a pruned trial reported last; None for failed ones."""
    if trial.outcome.state == "failed":
        return None
    value = trial.outcome.metrics.get(objective)
    if value is None and trial.outcome.state == "pruned" and trial.outcome.steps:
        value = trial.outcome.steps[max(trial.outcome.steps)]
    return value if value is not None and math.isfinite(value) else None


def values_of(trials: Iterable[Trial], objective: str) -> list[float]:
    return [value for trial in trials if (value := value_of(trial, objective)) is not None]


def window_of(trials: Sequence[Trial], plan: SearchPlan, objective: str) -> Window:
    """The part of the axis in which the better half of the trials can be told apart.

    A few trials that learned nothing must not squash it: they are drawn at its edge. Counts over more than a
    power of ten are spread by their logarithm.
    """
    values, direction = values_of(trials, objective), plan.objectives[objective]
    if not values or _is_wide(objective, values):
        return whole_window(objective, values)
    best, worst = (max(values), min(values)) if direction == "maximize" else (min(values), max(values))
    reach = 4 * abs(best - float(np.median(values)))
    edge = worst if reach == 0 or abs(worst - best) <= reach else best + math.copysign(reach, worst - best)
    return whole_window(objective, [best, edge])


def whole_window(objective: str, values: Sequence[float]) -> Window:
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


def draw_mark(axes: Axes, x: float, y: float, kind: str, window: Window, **changes: Any) -> None:
    """One trial; outside of the window it is an arrow at its edge."""
    mark = {**MARKS[kind], **changes}
    if not window.low <= y <= window.high:
        mark |= {"marker": CARETUP if y > window.high else CARETDOWN, "alpha": 0.6, "clip_on": False}
    axes.plot(x, min(max(y, window.low), window.high), linestyle="none", **mark)


def draw_failed(axes: Axes, x: float) -> None:
    axes.plot(x, 0.06, linestyle="none", transform=axes.get_xaxis_transform(), **MARKS["failed"])


def legend_of(trials: Sequence[Trial], plan: SearchPlan) -> list[Line2D]:
    """The kinds that occur."""
    present = {kind_of(trial, plan) for trial in trials}
    return [Line2D([], [], linestyle="none", label=kind, **MARKS[kind]) for kind in MARKS if kind in present]


def add_legend(figure: Figure, handles: Sequence[Line2D]) -> None:
    if handles:
        figure.legend(handles=handles, loc="outside lower left", ncols=len(handles))


def set_up_values(axes: Axes, objective: str, window: Window) -> None:
    """An objective up the axis."""
    axes.set_yscale("log" if window.log else "linear")
    axes.set_ylim(window.low, window.high)
    set_ticks(axes.yaxis, objective, window)


def set_ticks(axis: Axis, objective: str, window: Window) -> None:
    """A few round numbers, short where they are counts."""
    if window.log:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if window.high < 1000 * window.low else (1,)))
        axis.set_minor_locator(NullLocator())
    else:
        axis.set_major_locator(MaxNLocator(6))
    if objective in COUNTS:
        axis.set_major_formatter(FuncFormatter(lambda value, _: tick_text(value)))


def why_empty(trials: Sequence[Trial]) -> str:
    failed = sum(trial.outcome.state == "failed" for trial in trials)
    return f"no values: {failed} of {len(trials)} trials failed" if trials else "no trials"


def write_note(axes: Axes, text: str) -> None:
    box = {"facecolor": "white", "edgecolor": "none"}
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=SOFT, bbox=box)
