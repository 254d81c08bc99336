"""Stops calling a tracking server that fails or is slow, so that no stage waits for it."""

import os
import sys
import time
from collections.abc import Callable
from threading import Lock
from typing import Any

from src.core.errors import first_line
from src.tracking.background import BackgroundQueue
from src.tracking.mlflow_store import is_embedded

BUDGET = 30.0  # total seconds that a slow server may cost one process
SWITCH = "ASSAY_TRACKING"  # environment: "off" writes to the journal only, until `python -m src.track`


def warn(text: str) -> None:
    """Print a warning to stderr."""
    print(text, file=sys.stderr, flush=True)


class CircuitBreaker:
    """Lets calls through until one fails or they take too long in total; after that, none."""

    def __init__(self, closed: bool = True) -> None:
        self.closed = closed
        self.spent = 0.0  # seconds that the stage has waited so far
        self._lock = Lock()  # a stage and its background queue may fail at once; one warning is enough

    def call(self, action: Callable[[], Any], say: Callable[[str], None]) -> Any:
        """The result of ``action``, or None if it failed or calls are off. Never raises."""
        self._check_budget(say)
        begin = time.monotonic()
        try:
            return self.call_in_background(action, say)
        finally:
            self.spent += time.monotonic() - begin

    def call_in_background(self, action: Callable[[], Any], say: Callable[[str], None]) -> Any:
        """The same for work in the background, whose time does not count."""
        if not self.closed:
            return None
        try:
            return action()
        except Exception as error:  # whatever a server, a database or a disk does, the stage goes on
            self._break(first_line(error), say)
            return None

    def wait(self, queue: BackgroundQueue, say: Callable[[str], None]) -> None:
        """Wait until the queue is empty or the budget is spent; not at all if calls are off."""
        begin = time.monotonic()
        patience = None if is_embedded() else max(0.0, BUDGET - self.spent)
        done = queue.finish(patience if self.closed else 0.0)
        self.spent += time.monotonic() - begin
        if not done:
            self._break(self._slow(), say)

    def _check_budget(self, say: Callable[[str], None]) -> None:
        if self.spent > BUDGET and not is_embedded():
            self._break(self._slow(), say)

    def _slow(self) -> str:
        return f"the server is slow: it has taken {self.spent:.0f} s so far"

    def _break(self, reason: str, say: Callable[[str], None]) -> None:
        with self._lock:
            if not self.closed:
                return
            self.closed = False
        say(
            f"Tracking is off for the rest of this stage: {reason}\n"
            "Nothing is lost: the journal has everything. When MLflow works again: python -m src.track"
        )


# One for the process: a server that is down for one call is down for the next.
circuit = CircuitBreaker(closed=os.environ.get(SWITCH) != "off")
