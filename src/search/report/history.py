"""The history of a search: the objectives by the number of the trial."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from src.plotting.style import INK, new_figure, save, styled, subtitle
from src.search.engine.plan import SearchPlan
from src.search.engine.records import Trial
from src.search.report.drawing import (
    LABELS,
    add_legend,
    draw_failed,
    draw_mark,
    kind_of,
    legend_of,
    set_up_values,
    value_of,
    values_of,
    why_empty,
    window_of,
    write_note,
)
from src.search.report.tables import format_metric


def draw_history(path: Path, trials: Sequence[Trial], plan: SearchPlan) -> Path:
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
        add_legend(figure, [line, *legend_of(trials, plan)])
        return save(figure, path)


def _draw_course(axes: Axes, trials: Sequence[Trial], plan: SearchPlan, name: str) -> None:
    direction, window = plan.objectives[name], window_of(trials, plan, name)
    set_up_values(axes, name, window)
    steps = _best_so_far(trials, plan, name)
    if steps:
        across, up = zip(*steps, strict=True)
        axes.plot(across, up, color=INK, linewidth=1.4, drawstyle="steps-post")
        subtitle(axes, f"{'highest' if direction == 'maximize' else 'lowest'} {format_metric(name, up[-1])}")
    for trial in trials:
        value = value_of(trial, name)
        if value is not None:
            draw_mark(axes, trial.number, value, kind_of(trial, plan), window)
        elif trial.outcome.state == "failed":
            draw_failed(axes, trial.number)
    axes.set_title(LABELS.get(name, name))
    if not values_of(trials, name):
        write_note(axes, why_empty(trials))


def _best_so_far(trials: Sequence[Trial], plan: SearchPlan, name: str) -> list[tuple[float, float]]:
    """(number, best value up to there), up to the last trial."""
    better = max if plan.objectives[name] == "maximize" else min
    steps: list[tuple[float, float]] = []
    for trial in trials:
        value = value_of(trial, name) if kind_of(trial, plan) in ("complete", "reused") else None
        if value is not None:
            steps.append((trial.number, better(value, steps[-1][1]) if steps else value))
    return [*steps, (trials[-1].number + 0.4, steps[-1][1])] if steps else []
