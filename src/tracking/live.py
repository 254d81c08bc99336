"""MLflow while a stage runs: as long as it answers, and never at the stage's expense."""

import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from src.errors import AssayError
from src.tracking.chains import Journal, figures
from src.tracking.errands import Errands
from src.tracking.store import is_embedded

if TYPE_CHECKING:
    from src.tracking.children import Children
    from src.tracking.registry import Version

BUDGET = 30.0  # seconds that a slow server may cost one process in all
SWITCH = "ASSAY_TRACKING"  # environment: "off" leaves all to the journal, until `python -m src.track`


def warn(text: str) -> None:
    """Where the one warning goes."""
    print(text, file=sys.stderr, flush=True)


def first_line(error: Exception) -> str:
    """What went wrong, short enough to read."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:300]


class Circuit:
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

    def wait(self, errands: Errands, say: Callable[[str], None]) -> None:
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
circuit = Circuit(closed=os.environ.get(SWITCH) != "off")


class Tracker:
    """Shows one execution of a stage in MLflow. No method ever raises.

    Call ``start`` after the journal has the attempt, ``epoch`` after it has the row, ``show_child`` after
    it has a trial or fold from start to end, and ``finish`` after it has the final status. Stages without a
    run of their own cost nothing: MLflow is not imported.
    """

    def __init__(self, root: Path, lineage: str, say: Callable[[str], None] = warn) -> None:
        self.root = root
        self.lineage = lineage
        self.say = say
        self._run: str | None = None
        self._client: Any = None
        self._children: Children | None = None
        self._errands: Errands | None = None  # brings children while the stage goes on
        self._known: dict[int, dict[str, float]] = {}  # epochs that an interrupted attempt has shown

    def start(self) -> None:
        """Show that the stage runs."""
        circuit.call(self._start, self.say)

    def epoch(self, row: dict[str, Any]) -> None:
        """Show an epoch's figures; ``row`` is the journal's, with ``epoch`` and ``time``."""
        if self._run is not None:
            circuit.call(lambda: self._epoch(row), self.say)

    def show_child(self, lineage: str) -> None:
        """Show a trial or fold that has ended. Returns at once: a thread brings one after another."""
        circuit.call(lambda: self._show_child(lineage), self.say)

    def finish(self) -> None:
        """Show figures, model and final status, and whatever children are not shown, or not as they are."""
        if self._errands is not None:
            circuit.wait(self._errands, self.say)
            self._errands = None
        journal = circuit.call(self._synchronize, self.say)
        if journal is None or not journal.children(self.lineage):
            return
        circuit.call(lambda: self._connect_children().look_again(), self.say)
        for child in journal.children(self.lineage):
            circuit.call(partial(self._connect_children().bring, journal, child), self.say)

    def _start(self) -> None:
        journal = self._synchronize()
        chains = journal.chains(self.lineage) if journal.has_own(self.lineage) else []
        if not chains:
            return
        from src.tracking.runs import find_run
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

    def _show_child(self, lineage: str) -> None:
        children = self._connect_children()  # here: a connection sets the environment for a moment
        if self._errands is None:
            bring, say, gate = children.bring, self.say, circuit

            def errand(name: str) -> None:
                gate.try_out(lambda: bring(Journal.around(self.root, name), name), say)

            self._errands = Errands(errand)
        self._errands.add(lineage)

    def _connect_children(self) -> "Children":
        if self._children is None:
            from src.tracking.children import Children
            from src.tracking.store import connect

            self._children = Children(connect(self.root))
        return self._children

    def _synchronize(self) -> Journal:
        journal = Journal(self.root)
        if journal.wanted(self.lineage):
            from src.tracking.replay import synchronize

            synchronize(self.root, self.lineage, journal=journal)
        return journal


def carry_out(root: Path, name: str, say: Callable[[str], None] = warn) -> "list[Version] | None":
    """Carry out what was decided on a registered model if MLflow answers; None if not. Never raises."""
    versions: list[Version] | None = circuit.call(lambda: _carry_out(root, name), say)
    return versions


def no_answer(error: Exception) -> AssayError:
    """What to say to a person who has asked for something that only MLflow can do."""
    where = os.environ.get("MLFLOW_TRACKING_URI", "mlruns/mlflow.db")
    return AssayError(
        f"MLflow at {where} does not answer: {first_line(error)}\nThe journal keeps everything; "
        "start the server (or unset MLFLOW_TRACKING_URI to use the embedded one), then run this again"
    )


def _carry_out(root: Path, name: str) -> "list[Version]":
    from src.tracking.registry import carry_out
    from src.tracking.store import connect

    return carry_out(connect(root), Journal(root), name)
