"""Builds the embedded store again from the journal: a new database beside the old one, then swapped."""

import shutil
import socket
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from src.core.errors import AssayError
from src.tracking.journal_index import JournalIndex
from src.tracking.mlflow_store import (
    MlflowStore,
    artifact_root,
    connect,
    connect_beside,
    database,
    database_lock,
    is_embedded,
    new_database,
    replace_database,
)
from src.tracking.run_sync import SyncResult
from src.tracking.sync import replay

# Name and id of each active experiment with runs.
EXPERIMENTS = (
    "SELECT name, experiment_id FROM experiments WHERE lifecycle_stage = 'active' "
    "AND experiment_id IN (SELECT experiment_id FROM runs)"
)


def rebuild(root: Path, then: Callable[[MlflowStore, JournalIndex], None]) -> list[SyncResult]:
    """Replay the whole journal into a new database. A server is not ours to wipe: it gets what it lacks.

    Args:
        root: The repository.
        then: Brings what is more than runs, such as the model registry, into the new store.

    Raises:
        AssayError: A stage is running, whose metrics the swap would lose; or the database holds experiments
            that are not Assay's.
    """
    root = root.resolve()
    journal = JournalIndex(root)
    _refuse_while_running(journal)
    if not is_embedded():
        return _fill(connect(root, patient=True), journal, then)
    with database_lock(root):
        outdated = _outdated_artifacts(root, journal)
        with new_database(root) as beside:
            results = _fill(connect_beside(root, beside), journal, then)
            replace_database(database(root), beside)
        for folder in outdated:
            shutil.rmtree(folder)
    return results


def _fill(
    store: MlflowStore, journal: JournalIndex, then: Callable[[MlflowStore, JournalIndex], None]
) -> list[SyncResult]:
    results = replay(store, journal, show=True)
    then(store, journal)
    return results


def _outdated_artifacts(root: Path, journal: JournalIndex) -> list[Path]:
    """The artifact folders of runs and models in the old database; those in the new one have other names."""
    known, ours = _experiments(database(root)), {entry.record.get("experiment") for entry in journal.entries}
    foreign = sorted(known.keys() - ours)
    if foreign:
        raise AssayError(
            f"mlflow.db also has runs in {', '.join(foreign)}, which are not in Assay's journal: a rebuild "
            "would lose them. Move the database away first, for example: mv mlflow.db mlflow.db.old"
        )
    folders = [artifact_root(root) / experiment for experiment in known.values()]
    runs = [path for folder in folders for path in folder.glob("*") if path.name != "models"]
    return [*runs, *(path for folder in folders for path in folder.glob("models/*"))]


def _experiments(path: Path) -> dict[str, str]:
    """{name: id} of the experiments with runs; empty if the database is missing or broken."""
    if not path.is_file():
        return {}
    with closing(sqlite3.connect(path)) as connection:
        try:
            return {name: str(number) for name, number in connection.execute(EXPERIMENTS)}
        except sqlite3.DatabaseError:
            return {}


def _refuse_while_running(journal: JournalIndex) -> None:
    here = socket.gethostname()  # a record of another host may say RUNNING for ever
    running = [e for e in journal.entries if e.status == "RUNNING" and e.record["process"]["host"] == here]
    if running:
        name, process = running[0].record["name"], running[0].record["process"]
        raise AssayError(
            f"{name} is running (process {process['pid']} on {process['host']}), and a rebuild would lose "
            "what it logs to MLflow meanwhile. Wait for it or stop it, then rebuild"
        )
