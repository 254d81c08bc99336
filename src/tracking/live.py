"""MLflow while a stage runs: as long as it answers, and never at the stage's expense."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.tracking.chains import Journal, figures
from src.tracking.store import is_embedded

if TYPE_CHECKING:
    from src.tracking.registry import Action, Version

BUDGET = 30.0  # seconds that a slow server may cost one process in all


def warn(text: str) -> None:
    """Where the one warning goes."""
    print(text, file=sys.stderr, flush=True)


def first_line(error: Exception) -> str:
    """What went wrong, short enough to read."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:300]


class Circuit:
    """Lets calls through until one fails or all have taken too long; then none for this process."""

    def __init__(self) -> None:
        self.closed = True
        self.spent = 0.0  # seconds

    def call(self, action: Callable[[], Any], say: Callable[[str], None]) -> Any:
        """What ``action`` returns, or None if it failed or is not tried any more. Never raises."""
        if self.closed and self.spent > BUDGET and not is_embedded():
            self._break(f"the server is slow: {self.spent:.0f} s in all", say)
        if not self.closed:
            return None
        begin = time.monotonic()
        try:
            return action()
        except Exception as error:  # whatever a server, a database or a disk may do, the work goes on
            self._break(first_line(error), say)
            return None
        finally:
            self.spent += time.monotonic() - begin

    def _break(self, reason: str, say: Callable[[str], None]) -> None:
        self.closed = False
        say(
            f"Tracking is off for the rest of this stage: {reason}\n"
            "Nothing is lost: the journal has it all. When MLflow answers again: python -m src.track"
        )


circuit = Circuit()  # one for the process: what is down for one call is down for the next


class Tracker:
    """Shows one execution of a stage in MLflow. No method ever raises.

    Call ``start`` after the journal has the attempt, ``epoch`` after it has the row, and ``finish``
    after it has the final status. Stages without a run of their own cost nothing: MLflow is not imported.
    """

    def __init__(self, root: Path, lineage: str, say: Callable[[str], None] = warn) -> None:
        self.root = root
        self.lineage = lineage
        self.say = say
        self._run: str | None = None
        self._client: Any = None
        self._known: dict[int, dict[str, float]] = {}  # epochs that an interrupted attempt has shown

    def start(self) -> None:
        """Show that the stage runs."""
        circuit.call(self._start, self.say)

    def epoch(self, row: dict[str, Any]) -> None:
        """Show an epoch's figures; ``row`` is the journal's, with ``epoch`` and ``time``."""
        if self._run is not None:
            circuit.call(lambda: self._epoch(row), self.say)

    def finish(self) -> None:
        """Show figures, model and final status."""
        circuit.call(self._synchronize, self.say)

    def _start(self) -> None:
        journal = self._synchronize()
        chains = journal.chains(self.lineage) if journal.subject_of(self.lineage) == self.lineage else []
        if not chains:
            return
        from src.tracking.replay import find_run
        from src.tracking.store import connect

        store = connect(self.root)
        self._client = store.client
        run = find_run(store, chains[-1])
        self._run = run.info.run_id if run else None
        self._known = {int(row["epoch"]): figures(row) for row in chains[-1].history()}

    def _epoch(self, row: dict[str, Any]) -> None:
        from src.tracking.view import points

        if self._known.get(int(row["epoch"])) != figures(row):
            self._client.log_batch(self._run, metrics=points(row))

    def _synchronize(self) -> Journal:
        journal = Journal(self.root)
        if journal.wanted(self.lineage):
            from src.tracking.replay import synchronize

            synchronize(self.root, self.lineage)
        return journal


def register(root: Path, action: "Action", say: Callable[[str], None] = warn) -> "Version | None":
    """Carry a decision out now if MLflow answers; None if it does not. Never raises."""
    version: Version | None = circuit.call(lambda: _register(root, action), say)
    return version


def _register(root: Path, action: "Action") -> "Version | None":
    from src.tracking.registry import register as carry_out
    from src.tracking.store import connect

    return carry_out(connect(root), Journal(root), action)
