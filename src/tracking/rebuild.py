"""Makes the embedded view anew from the journal: a new database beside the old one, then swapped."""

import shutil
import socket
from pathlib import Path

from filelock import FileLock

from src.core.errors import AssayError
from src.tracking.mlflow_store import building, connect, connect_beside, database, is_embedded
from src.tracking.run_groups import JournalIndex
from src.tracking.sync import Summary, replay


def rebuild(root: Path) -> Summary:
    """Replay the whole journal into a fresh database. A server is not ours to wipe: it gets what it lacks.

    Raises:
        AssayError: a stage is running, whose figures the swap would lose.
    """
    root = root.resolve()
    journal = JournalIndex(root)
    _refuse_while_running(journal)
    if not is_embedded():
        return replay(connect(root, patient=True), journal)
    database(root).parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{database(root)}.lock"):
        outdated = _artifact_folders(root)
        with building(database(root)) as beside:
            summary = replay(connect_beside(root, beside), journal)
        for folder in outdated:
            shutil.rmtree(folder)
    return summary


def _artifact_folders(root: Path) -> list[Path]:
    """One for each run and each model; the new view's have other names."""
    artifacts = database(root).parent / "artifacts"
    runs = [path for path in artifacts.glob("*/*") if path.name != "models"]
    return [*runs, *artifacts.glob("*/models/*")]


def _refuse_while_running(journal: JournalIndex) -> None:
    here = socket.gethostname()  # of other hosts nobody knows: their last word would stop us for ever
    running = [e for e in journal.entries if e.status == "RUNNING" and e.record["process"]["host"] == here]
    if running:
        name, process = running[0].record["name"], running[0].record["process"]
        raise AssayError(
            f"{name} is running (process {process['pid']} on {process['host']}), and what it tells MLflow "
            "meanwhile would be lost: wait for it, or stop it, then rebuild"
        )
