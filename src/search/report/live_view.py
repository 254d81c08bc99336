"""A running search at a terminal; elsewhere a line for each tenth of it."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from src.search.engine.ranking import ranked
from src.search.engine.records import Trial
from src.search.report.tables import short_figure, short_names, short_value

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from src.search.engine.plan import SearchPlan
    from src.search.engine.trial_log import SearchProgress


@contextmanager
def live_view(
    plan: "SearchPlan", show: bool, say: Callable[[str], None], console: "Console | None" = None
) -> "Iterator[Callable[[SearchProgress], None]]":
    """Yield ``on_news``: draws how the search stands, or says so at every tenth if ``show`` is false or
    there is no terminal.

    ``console``: another one than the terminal's error stream.
    """
    from rich.console import Console
    from rich.live import Live

    view = _View(plan)
    console = console or Console(stderr=True)
    if not (show and console.is_terminal):
        yield lambda standing: _print_every_tenth(view, standing, say)
        return
    with Live(
        get_renderable=view.draw,
        console=console,
        refresh_per_second=2,
        transient=True,
        redirect_stdout=sys.stdout.isatty(),  # what is printed goes above the view, and a pipe keeps its own
    ) as screen:

        def on_news(standing: "SearchProgress") -> None:
            view.follow(standing)
            screen.refresh()

        yield on_news


def describe_best(trials: Sequence[Trial], plan: "SearchPlan") -> str:
    """The best trial with its objectives in one line; "" as long as there is none."""
    best = ranked(trials, plan)
    if not best:
        return ""
    figures = best[0].outcome.metrics
    values = ", ".join(f"{name} {short_figure(name, figures[name])}" for name in plan.objectives)
    return f"{values} (trial {best[0].number})"


class _View:
    """What is known of the search, and since when."""

    def __init__(self, plan: "SearchPlan") -> None:
        self.plan = plan
        self.standing: SearchProgress | None = None
        self.started = self.begun = self.heard = time.monotonic()
        self.before = 0  # trials that had ended before the first one ran here: they were read from files
        self.worked = False

    def follow(self, standing: "SearchProgress") -> None:
        """Take note of the news and of the moment."""
        self.standing, self.heard = standing, time.monotonic()
        if not self.worked:
            self.begun, self.before = self.heard, len(standing.trials)
        self.worked = self.worked or standing.running > 0

    def left(self) -> float | None:
        """Seconds to the end at the pace of the trials that have ended here; None if none has."""
        assert self.standing is not None
        ended = len(self.standing.trials) - self.before
        if ended <= 0:
            return None
        remaining = self.standing.total - len(self.standing.trials)
        return max((self.heard - self.begun) / ended * remaining - (time.monotonic() - self.heard), 0.0)

    def counts(self) -> list[tuple[str, int]]:
        """(state, trials in it), without the states that nothing is in."""
        assert self.standing is not None
        states = [trial.outcome.state for trial in self.standing.trials]
        reused = sum(trial.reused is not None for trial in self.standing.trials)
        counts = [("complete", states.count("complete")), ("running", self.standing.running)]
        counts += [("pruned", states.count("pruned")), ("failed", states.count("failed")), ("reused", reused)]
        return [(name, count) for name, count in counts if count]

    def draw(self) -> "RenderableType":
        """Four lines: the bar, the counts, the best trial, the time."""
        from rich.table import Table
        from rich.text import Text

        if self.standing is None:
            return Text("search  before the first trial", style="dim")
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim", no_wrap=True, min_width=6)
        grid.add_column(no_wrap=True, overflow="ellipsis")
        grid.add_row("search", self._bar())
        grid.add_row("trials", self._counts())
        grid.add_row("best", self._best())
        grid.add_row("time", self._time())
        return grid

    def _bar(self) -> "RenderableType":
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        assert self.standing is not None
        ended, total = len(self.standing.trials), self.standing.total
        line = Table.grid(padding=(0, 2))
        line.add_row(ProgressBar(total=total, completed=ended, width=40), f"{ended}/{total}")
        return line

    def _counts(self) -> "RenderableType":
        from rich.text import Text

        colours = {"complete": "green", "running": "cyan", "pruned": "yellow", "failed": "red"}
        pieces = [Text(f"{count} {name}", style=colours.get(name, "dim")) for name, count in self.counts()]
        return Text("   ").join(pieces)

    def _best(self) -> "RenderableType":
        from rich.text import Text

        assert self.standing is not None
        text = describe_best(self.standing.trials, self.plan)
        if not text:
            return Text("none yet", style="dim")
        settings = ranked(self.standing.trials, self.plan)[0].settings
        names = short_names(self.plan.space.domains)
        shown = (f"{names.get(field, field)}={short_value(value)}" for field, value in settings.items())
        return Text.assemble((text, "bold"), ("   " + "  ".join(shown), "dim"))

    def _time(self) -> str:
        left = self.left()
        about = "" if left is None else f", about {_clock(left)} left"
        return f"{_clock(time.monotonic() - self.started)}{about}"


def _print_every_tenth(view: _View, standing: "SearchProgress", say: Callable[[str], None]) -> None:
    """One line if the trials that have ended since the last news complete another tenth of all."""
    before = len(view.standing.trials) if view.standing else 0
    view.follow(standing)
    ended, total = len(standing.trials), standing.total
    if ended * 10 // total == before * 10 // total:
        return
    counts = ", ".join(f"{count} {name}" for name, count in view.counts())
    best, left = describe_best(standing.trials, view.plan), view.left()
    pieces = [f"{ended} of {total} trials ({counts})", f"best {best}" if best else "none is good yet"]
    pieces += [f"about {_clock(left)} left"] if left else []
    say("; ".join(pieces))


def _clock(seconds: float) -> str:
    """m:ss, or h:mm:ss."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"
