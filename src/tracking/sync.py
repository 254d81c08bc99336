"""Brings MLflow up to date with the journal: the one way in which anything gets there.

A stage calls it for its own lineage, ``python -m src.track`` for all. It may be broken off anywhere and be
done again.
"""

from dataclasses import dataclass, field
from pathlib import Path

from src.registry.mlflow_registry import Version, apply_decisions
from src.tracking.child_runs import Children
from src.tracking.mlflow_store import MlflowStore, connect
from src.tracking.run_groups import JournalIndex
from src.tracking.run_sync import SyncResult, sync_run


@dataclass
class Summary:
    """What `synchronize` did."""

    runs: list[SyncResult] = field(default_factory=list)
    versions: list[Version] = field(default_factory=list)

    def count(self, done: str) -> int:
        """How many runs were created, refreshed, unchanged or waiting."""
        return sum(run.done == done for run in self.runs)


def synchronize(
    root: Path, lineage: str | None = None, patient: bool = False, journal: JournalIndex | None = None
) -> Summary:
    """Bring MLflow up to date with the journal of ``root``, or with one lineage of it. Idempotent.

    With ``lineage``: the run that its executions speak of, and runs whose process died meanwhile.
    Without: everything, the registry too. ``patient``: wait longer for a slow server. ``journal``: the
    journal of ``root``, if it was read a moment ago.

    Raises:
        AssayError: the repository was moved. Whatever else MLflow raises, when it cannot be reached.
    """
    store, journal = connect(root, patient), journal or JournalIndex(root)
    if lineage is None:
        return replay(store, journal)
    children = Children(store)
    orphans = [child for parent in journal.dead() for child in children.running(journal, parent)]
    return replay(store, journal, list(dict.fromkeys([*orphans, *journal.wanted(lineage)])))


def replay(store: MlflowStore, journal: JournalIndex, subjects: list[str] | None = None) -> Summary:
    """Bring the runs of these lineages; by default of all, and the registry."""
    summary, children = Summary(), Children(store)
    for subject in journal.subjects() if subjects is None else subjects:
        is_child = journal.parent_of(subject) is not None
        summary.runs += children.bring(journal, subject) if is_child else sync_run(store, journal, subject)
    if subjects is None:
        summary.versions = apply_decisions(store, journal)
    return summary
