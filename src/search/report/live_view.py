"""Shows a running search: live at a terminal, elsewhere as one line per tenth."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from src.search.engine.plan import SearchPlan
from src.search.engine.ranking import ranked
from src.search.engine.records import Trial
from src.search.engine.trial_log import SearchProgress
from src.search.report.tables import format_metric, format_value, short_names


@contextmanager
def live_view(
    plan: SearchPlan, show: bool, say: Callable[[str], None], console: Console | None = None
) -> Iterator[Callable[[SearchProgress], None]]:
    """Yield ``on_progress``, to be called whenever a trial has ended.

    It redraws the view, or prints a line at every tenth if ``show`` is false or there is no terminal.

    Args:
        plan: The search.
        show: Whether to draw.
        say: Prints a line.
        console: Where to draw, by default the terminal's error stream.
    """
    view = _View(plan)
    console = console or Console(stderr=True)
    if not (show and console.is_terminal):
        yield lambda progress: _print_every_tenth(view, progress, say)
        return
    with Live(
        get_renderable=view.draw,
        console=console,
        refresh_per_second=2,
        transient=True,
        redirect_stdout=sys.stdout.isatty(),  # printed lines go above the view; a pipe keeps its own
    ) as screen:

        def on_progress(progress: SearchProgress) -> None:
            view.follow(progress)
            screen.refresh()

        yield on_progress


def describe_best(trials: Sequence[Trial], plan: SearchPlan) -> str:
    """The best trial with its objectives in one line; "" while there is none."""
    best = ranked(trials, plan)
    if not best:
        return ""
    metrics = best[0].outcome.metrics
    values = ", ".join(f"{name} {format_metric(name, metrics[name])}" for name in plan.objectives)
    return f"{values} (trial {best[0].number})"


class _View:
    """What is known about the search, and since when."""

    def __init__(self, plan: SearchPlan) -> None:
        self.plan = plan
        self.progress: SearchProgress | None = None
        self.started = self.begun = self.heard = time.monotonic()
        self.before = 0  # trials that ended before the first one ran here: they were read from files
        self.worked = False

    def follow(self, progress: SearchProgress) -> None:
        """Remember the progress and when it came."""
        self.progress, self.heard = progress, time.monotonic()
        if not self.worked:
            self.begun, self.before = self.heard, len(progress.trials)
        self.worked = self.worked or progress.running > 0

    def left(self) -> float | None:
        """Seconds until the end at the pace of the trials that ended here; None if none has."""
        assert self.progress is not None
        ended = len(self.progress.trials) - self.before
        if ended <= 0:
            return None
        remaining = self.progress.total - len(self.progress.trials)
        return max((self.heard - self.begun) / ended * remaining - (time.monotonic() - self.heard), 0.0)

    def counts(self) -> list[tuple[str, int]]:
        """(state, trials in it), without empty states."""
        assert self.progress is not None
        states = [trial.outcome.state for trial in self.progress.trials]
        reused = sum(trial.reused is not None for trial in self.progress.trials)
        counts = [("complete", states.count("complete")), ("running", self.progress.running)]
        counts += [("pruned", states.count("pruned")), ("failed", states.count("failed")), ("reused", reused)]
        return [(name, count) for name, count in counts if count]

    def draw(self) -> RenderableType:
        """Four lines: the bar, the counts, the best trial, the time."""
        if self.progress is None:
            return Text("search  before the first trial", style="dim")
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim", no_wrap=True, min_width=6)
        grid.add_column(no_wrap=True, overflow="ellipsis")
        grid.add_row("search", self._bar())
        grid.add_row("trials", self._counts())
        grid.add_row("best", self._best())
        grid.add_row("time", self._time())
        return grid

    def _bar(self) -> RenderableType:
        assert self.progress is not None
        ended, total = len(self.progress.trials), self.progress.total
        line = Table.grid(padding=(0, 2))
        line.add_row(ProgressBar(total=total, completed=ended, width=40), f"{ended}/{total}")
        return line

    def _counts(self) -> RenderableType:
        colors = {"complete": "green", "running": "cyan", "pruned": "yellow", "failed": "red"}
        pieces = [Text(f"{count} {name}", style=colors.get(name, "dim")) for name, count in self.counts()]
        return Text("   ").join(pieces)

    def _best(self) -> RenderableType:
        assert self.progress is not None
        text = describe_best(self.progress.trials, self.plan)
        if not text:
            return Text("none yet", style="dim")
        settings = ranked(self.progress.trials, self.plan)[0].settings
        names = short_names(self.plan.space.domains)
        shown = (f"{names.get(field, field)}={format_value(value)}" for field, value in settings.items())
        return Text.assemble((text, "bold"), ("   " + "  ".join(shown), "dim"))

    def _time(self) -> str:
        left = self.left()
        about = "" if left is None else f", about {_clock(left)} left"
        return f"{_clock(time.monotonic() - self.started)}{about}"


def _print_every_tenth(view: _View, progress: SearchProgress, say: Callable[[str], None]) -> None:
    """Print a line if the trials that ended since the last call complete another tenth of all."""
    before = len(view.progress.trials) if view.progress else 0
    view.follow(progress)
    ended, total = len(progress.trials), progress.total
    if ended * 10 // total == before * 10 // total:
        return
    counts = ", ".join(f"{count} {name}" for name, count in view.counts())
    best, left = describe_best(progress.trials, view.plan), view.left()
    pieces = [f"{ended} of {total} trials ({counts})", f"best {best}" if best else "no usable trial yet"]
    pieces += [f"about {_clock(left)} left"] if left else []
    say("; ".join(pieces))


def _clock(seconds: float) -> str:
    """m:ss, or h:mm:ss."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"
