"""The live view of a rebuild: which stage is at work, and how long it will take."""

import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

BEGUN = re.compile(r"^Running stage '([^']+)'")
UNKNOWN = 10.0  # seconds that a stage is taken to need of which nobody knows
TICK = 0.5  # seconds


class Stopwatch:
    """Follows what ``dvc repro`` prints; ``durations`` has the seconds that each stage took before."""

    def __init__(self, durations: Mapping[str, float]) -> None:
        self.expected = {name: seconds or UNKNOWN for name, seconds in durations.items()}
        self.stage = ""
        self.begun = time.monotonic()
        self.done = 0.0  # expected seconds of the stages that are behind

    def read(self, line: str) -> None:
        """One line of DVC's."""
        match = BEGUN.match(line)
        if match is None:
            return
        self.done += self.expected.get(self.stage, 0.0)
        self.stage, self.begun = match[1], time.monotonic()

    @property
    def total(self) -> float:
        return sum(self.expected.values())

    def completed(self) -> float:
        """Expected seconds that are behind; a stage that takes longer does not run ahead."""
        return self.done + min(time.monotonic() - self.begun, self.expected.get(self.stage, 0.0))


@contextmanager
def stopwatch(durations: Mapping[str, float], show: bool) -> Iterator[Stopwatch]:
    """Draws on a terminal, and nothing elsewhere."""
    watch = Stopwatch(durations)
    if not show:
        yield watch
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    ended = threading.Event()
    off = not console.is_terminal
    with Progress(*columns, console=console, transient=True, expand=True, disable=off) as bar:
        task = bar.add_task("Rebuilding", total=watch.total)

        def tick() -> None:
            while not ended.wait(TICK):
                bar.update(task, completed=watch.completed(), description=f"Rebuilding {watch.stage}")

        thread = threading.Thread(target=tick, daemon=True)
        thread.start()
        try:
            yield watch
        finally:
            ended.set()
            thread.join()
