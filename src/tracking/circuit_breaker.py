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

BUDGET = 30.0  # seconds that a slow server may cost one process in all
SWITCH = "ASSAY_TRACKING"  # environment: "off" leaves all to the journal, until `python -m src.track`


def warn(text: str) -> None:
    """Where the one warning goes."""
    print(text, file=sys.stderr, flush=True)


class CircuitBreaker:
    """Lets calls through until one fails or all have taken too long; then none for this process."""

    def __init__(self, closed: bool = True) -> None:
        self.closed = closed
        self.spent = 0.0  # seconds that the stage has waited
        self._lock = Lock()  # a stage and its errands may fail at once, and one warning is enough

    def call(self, action: Callable[[], Any], say: Callable[[str], None]) -> Any:
        """What ``action`` returns, or None if it failed or is not tried any more. Never raises."""
        self._check_budget(say)
        begin = time.monotonic()
        try:
            return self.try_out(action, say)
        finally:
            self.spent += time.monotonic() - begin

    def try_out(self, action: Callable[[], Any], say: Callable[[str], None]) -> Any:
        """The same for what nobody waits for: it may take its time."""
        if not self.closed:
            return None
        try:
            return action()
        except Exception as error:  # whatever a server, a database or a disk may do, the work goes on
            self._break(first_line(error), say)
            return None

    def wait(self, errands: BackgroundQueue, say: Callable[[str], None]) -> None:
        """Wait until the errands are done, or the budget is spent, or nothing can come of them."""
        begin = time.monotonic()
        patience = None if is_embedded() else max(0.0, BUDGET - self.spent)
        done = errands.finish(patience if self.closed else 0.0)
        self.spent += time.monotonic() - begin
        if not done:
            self._break(self._slow(), say)

    def _check_budget(self, say: Callable[[str], None]) -> None:
        if self.spent > BUDGET and not is_embedded():
            self._break(self._slow(), say)

    def _slow(self) -> str:
        return f"the server is slow: {self.spent:.0f} s in all"

    def _break(self, reason: str, say: Callable[[str], None]) -> None:
        with self._lock:
            if not self.closed:
                return
            self.closed = False
        say(
            f"Tracking is off for the rest of this stage: {reason}\n"
            "Nothing is lost: the journal has it all. When MLflow answers again: python -m src.track"
        )


# One for the process: what is down for one call is down for the next.
circuit = CircuitBreaker(closed=os.environ.get(SWITCH) != "off")
