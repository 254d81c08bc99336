"""The progress bar of the project; where there is no terminal, a line now and then."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

EVERY = 30.0  # seconds between two lines in a log


@contextmanager
def progress_bar(
    description: str, total: int | None, show: bool = True, unit: str = ""
) -> Iterator[Callable[[int], None]]:
    """Yield ``advance(n)``. Draws a bar on a terminal; elsewhere a step that takes long writes lines.

    Args:
        description: what is done.
        total: of the steps; None: unknown.
        show: whether to show anything.
        unit: of the steps, where the description does not say it.
    """
    if not show:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(description, total, unit)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(description, total=total)
        yield lambda n: bar.advance(task, n)


def _lines(description: str, total: int | None, unit: str) -> Callable[[int], None]:
    """``advance(n)`` that writes at most one line in ``EVERY`` seconds: a quick step writes none."""
    done, start = 0, time.monotonic()
    last = start

    def advance(n: int) -> None:
        nonlocal done, last
        done, now = done + n, time.monotonic()
        if now - last < EVERY:
            return
        last = now
        of = "" if total is None else f" of {total:,}"
        what = f" {unit}" if unit else ""
        print(f"{description}: {done:,}{of}{what} after {now - start:.0f} s", file=sys.stderr, flush=True)

    return advance
