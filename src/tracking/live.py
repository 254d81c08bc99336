"""MLflow while a stage runs: as long as it answers, and never at the stage's expense."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.tracking import circuit_breaker
from src.tracking.background import BackgroundQueue
from src.tracking.circuit_breaker import warn
from src.tracking.run_groups import JournalIndex, metrics_of

if TYPE_CHECKING:
    from src.tracking.child_runs import Children


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
        self._errands: BackgroundQueue | None = None  # brings children while the stage goes on
        self._known: dict[int, dict[str, float]] = {}  # epochs that an interrupted attempt has shown

    def start(self) -> None:
        """Show that the stage runs."""
        circuit_breaker.circuit.call(self._start, self.say)

    def epoch(self, row: dict[str, Any]) -> None:
        """Show an epoch's figures; ``row`` is the journal's, with ``epoch`` and ``time``."""
        if self._run is not None:
            circuit_breaker.circuit.call(lambda: self._epoch(row), self.say)

    def show_child(self, lineage: str) -> None:
        """Show a trial or fold that has ended. Returns at once: a thread brings one after another."""
        circuit_breaker.circuit.call(lambda: self._show_child(lineage), self.say)

    def finish(self) -> None:
        """Show figures, model and final status, and whatever children are not shown, or not as they are."""
        if self._errands is not None:
            circuit_breaker.circuit.wait(self._errands, self.say)
            self._errands = None
        journal = circuit_breaker.circuit.call(self._synchronize, self.say)
        if journal is None or not journal.children(self.lineage):
            return
        circuit_breaker.circuit.call(lambda: self._connect_children().look_again(), self.say)
        for child in journal.children(self.lineage):
            circuit_breaker.circuit.call(partial(self._connect_children().bring, journal, child), self.say)

    def _start(self) -> None:
        journal = self._synchronize()
        chains = journal.chains(self.lineage) if journal.has_own(self.lineage) else []
        if not chains:
            return
        from src.tracking.mlflow_store import connect
        from src.tracking.run_sync import find_run

        store = connect(self.root)
        self._client = store.client
        run = find_run(store, chains[-1])
        self._run = run.info.run_id if run else None
        self._known = {int(row["epoch"]): metrics_of(row) for row in chains[-1].history()}

    def _epoch(self, row: dict[str, Any]) -> None:
        from src.tracking.run_writer import points

        if self._known.get(int(row["epoch"])) != metrics_of(row):
            self._client.log_batch(self._run, metrics=points(row))

    def _show_child(self, lineage: str) -> None:
        children = self._connect_children()  # here: a connection sets the environment for a moment
        if self._errands is None:
            bring, say, gate = children.bring, self.say, circuit_breaker.circuit

            def errand(name: str) -> None:
                gate.try_out(lambda: bring(JournalIndex.around(self.root, name), name), say)

            self._errands = BackgroundQueue(errand)
        self._errands.add(lineage)

    def _connect_children(self) -> "Children":
        if self._children is None:
            from src.tracking.child_runs import Children
            from src.tracking.mlflow_store import connect

            self._children = Children(connect(self.root))
        return self._children

    def _synchronize(self) -> JournalIndex:
        journal = JournalIndex(self.root)
        if journal.wanted(self.lineage):
            from src.tracking.sync import synchronize

            synchronize(self.root, self.lineage, journal=journal)
        return journal
