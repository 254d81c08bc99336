"""Brings the runs in MLflow up to date with the journal: the one way in which any run gets there.

A stage calls it for its own lineage, ``python -m src.track`` for all. It may be interrupted anywhere and
repeated.
"""

from pathlib import Path

from src.core.progress import progress_bar
from src.tracking.child_runs import Children
from src.tracking.journal_index import JournalIndex
from src.tracking.mlflow_store import MlflowStore, connect
from src.tracking.run_sync import SyncResult, sync_run


def synchronize(
    root: Path, lineage: str | None = None, patient: bool = False, journal: JournalIndex | None = None
) -> list[SyncResult]:
    """Bring MLflow up to date with the journal of ``root``, or with one lineage of it.

    Args:
        root: The repository.
        lineage: Bring the runs that its executions describe, and those of processes that died meanwhile.
            By default all runs.
        patient: Wait longer for a slow server.
        journal: The journal of ``root``, if it has just been read.

    Raises:
        AssayError: The repository was moved, or the experiment was deleted.
        Exception: Anything that MLflow raises when it cannot be reached.
    """
    store, journal = connect(root, patient), journal or JournalIndex(root)
    if lineage is None:
        return replay(store, journal)
    children = Children(store)
    orphans = [child for parent in journal.dead() for child in children.running(journal, parent)]
    return replay(store, journal, list(dict.fromkeys([*orphans, *journal.wanted(lineage)])))


def replay(
    store: MlflowStore, journal: JournalIndex, subjects: list[str] | None = None, show: bool = False
) -> list[SyncResult]:
    """Bring the runs of these lineages, by default of all; ``show`` draws a progress bar."""
    results: list[SyncResult] = []
    children = Children(store)
    wanted = journal.subjects() if subjects is None else subjects
    with progress_bar("Runs to MLflow", total=len(wanted), show=show) as advance:
        for subject in wanted:
            is_child = journal.parent_of(subject) is not None
            results += children.sync(journal, subject) if is_child else sync_run(store, journal, subject)
            advance(1)
    return results
