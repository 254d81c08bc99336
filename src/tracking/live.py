"""MLflow while a stage runs: shows what happens as long as it answers, and never holds the stage up."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from src.tracking import circuit_breaker
from src.tracking.background import BackgroundQueue
from src.tracking.child_runs import Children
from src.tracking.circuit_breaker import warn
from src.tracking.journal_entry import metrics_of
from src.tracking.journal_index import JournalIndex
from src.tracking.mlflow_store import connect
from src.tracking.run_sync import find_run
from src.tracking.run_writer import points
from src.tracking.sync import synchronize


class Tracker:
    """Shows one execution of a stage in MLflow. No method ever raises.

    Call ``start`` after the journal has the attempt, ``epoch`` after it has the row, ``show_child`` after
    it has a trial or fold from start to end, and ``finish`` after it has the final status. Stages without a
    run of their own cost nothing: MLflow is imported when a run is needed.
    """

    def __init__(self, root: Path, lineage: str, say: Callable[[str], None] = warn) -> None:
        self.root = root
        self.lineage = lineage
        self.say = say
        self._run: str | None = None
        self._client: Any = None
        self._children: Children | None = None
        self._queue: BackgroundQueue | None = None  # brings children while the stage goes on
        self._known: dict[int, dict[str, float]] = {}  # epochs that an interrupted attempt has shown

    def start(self) -> None:
        """Show that the stage runs."""
        circuit_breaker.circuit.call(self._start, self.say)

    def epoch(self, row: dict[str, Any]) -> None:
        """Show an epoch's metrics; ``row`` is the journal's, with ``epoch`` and ``time``."""
        if self._run is not None:
            circuit_breaker.circuit.call(lambda: self._epoch(row), self.say)

    def show_child(self, lineage: str) -> None:
        """Show a trial or fold that has ended. Returns at once: a thread brings one after another."""
        circuit_breaker.circuit.call(lambda: self._show_child(lineage), self.say)

    def finish(self) -> None:
        """Show metrics, model and final status, and the children that MLflow lacks or shows as they were."""
        if self._queue is not None:
            circuit_breaker.circuit.wait(self._queue, self.say)
            self._queue = None
        journal = circuit_breaker.circuit.call(self._synchronize, self.say)
        if journal is None or not journal.children(self.lineage):
            return
        circuit_breaker.circuit.call(lambda: self._connect_children().forget_parents(), self.say)
        for child in journal.children(self.lineage):
            circuit_breaker.circuit.call(partial(self._connect_children().sync, journal, child), self.say)

    def _start(self) -> None:
        journal = self._synchronize()
        groups = journal.groups(self.lineage) if journal.has_own(self.lineage) else []
        if not groups:
            return
        store = connect(self.root)
        self._client = store.client
        run = find_run(store, groups[-1])
        self._run = run.info.run_id if run else None
        self._known = {int(row["epoch"]): metrics_of(row) for row in groups[-1].history()}

    def _epoch(self, row: dict[str, Any]) -> None:
        if self._known.get(int(row["epoch"])) != metrics_of(row):
            self._client.log_batch(self._run, metrics=points(row))

    def _show_child(self, lineage: str) -> None:
        children = self._connect_children()  # in this thread: it sets environment variables for a moment
        if self._queue is None:
            say, circuit = self.say, circuit_breaker.circuit

            def sync(name: str) -> None:
                circuit.call_in_background(
                    lambda: children.sync(JournalIndex.around(self.root, name), name), say
                )

            self._queue = BackgroundQueue(sync)
        self._queue.add(lineage)

    def _connect_children(self) -> Children:
        if self._children is None:
            self._children = Children(connect(self.root))
        return self._children

    def _synchronize(self) -> JournalIndex:
        journal = JournalIndex(self.root)
        if journal.wanted(self.lineage):
            synchronize(self.root, self.lineage, journal=journal)
        return journal
