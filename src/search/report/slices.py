"""Slices: the values of each field against each objective."""

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.ticker import MaxNLocator

from src.plotting.style import new_figure, save, styled
from src.search.engine.plan import SearchPlan
from src.search.engine.records import Trial
from src.search.report.axis_scales import scale_of
from src.search.report.drawing import (
    LABELS,
    SHADES,
    add_legend,
    draw_failed,
    draw_mark,
    kind_of,
    legend_of,
    set_up_values,
    value_of,
    window_of,
)
from src.search.report.tables import short_names

PANELS = 4  # in a row


def draw_slices(path: Path, trials: Sequence[Trial], plan: SearchPlan) -> Path:
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
        add_legend(figure, legend_of([trial for trial in trials if trial.reused is None], plan))
        return save(figure, path)


def _draw_slice(axes: Axes, trials: Sequence[Trial], plan: SearchPlan, field: str, objective: str) -> None:
    scale, shade = scale_of(plan.space.domains[field]), _numbers(trials)
    window = window_of(trials, plan, objective)
    here = [trial for trial in trials if field in trial.settings and trial.reused is None]
    for trial in here:
        value, kind = value_of(trial, objective), kind_of(trial, plan)
        x = scale.place(trial.settings[field]) + _sway(trial) * scale.step
        if value is not None:
            draw_mark(
                axes,
                x,
                value,
                kind,
                window,
                **({"color": SHADES(shade(trial.number))} if kind == "complete" else {}),
            )
        elif kind == "failed":
            draw_failed(axes, x)
    axes.set_xlim(-0.06, 1.06)
    set_up_values(axes, objective, window)
    places, texts = zip(*scale.ticks, strict=True)
    axes.set_xticks(places, texts, rotation=30 if sum(map(len, texts)) > 24 else 0)


def _sway(trial: Trial) -> float:
    """A little aside, so that equal values do not hide each other: the golden ratio spreads evenly."""
    return 0.5 * ((trial.number * 0.618034) % 1 - 0.5)


def _label_slice(axes: Axes, plan: SearchPlan, field: str, objective: str, first: bool) -> None:
    axes.set_xlabel(short_names(plan.space.domains)[field])
    axes.tick_params(labelleft=first)
    if first:
        axes.set_ylabel(LABELS.get(objective, objective))


def _numbers(trials: Sequence[Trial]) -> Normalize:
    return Normalize(0, max(len(trials) - 1, 1))
