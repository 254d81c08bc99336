"""Where MLflow's view of the journal lives: a team's server, or SQLite inside the repository.

``MLFLOW_TRACKING_URI`` wins. Without it the view is ``mlruns/mlflow.db`` with the artifacts in
``mlruns/artifacts``, made once under a file lock.
"""

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from src.core.errors import AssayError, first_line
from src.core.files import replaced

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run


# What one call may cost. A stage must not wait for a server; a person who runs `src.track` may.
HASTY = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "3"}
PATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # it would call home from every stage
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",  # a bar for each figure, below our own bars
    "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "false",  # a thread and a point each ten seconds
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # two lines for each run of a server, between ours
    "MLFLOW_UV_AUTO_DETECT": "false",  # requirements are given, not guessed
    "GIT_PYTHON_REFRESH": "quiet",  # git is asked by src.provenance, and may be missing
}
# Loggers that tell of creating tables and of validating examples: not news to the reader of a stage.
CHATTY = ("mlflow", "alembic")
PARENT = "lineage.parent"  # tag: lineage of the sweep or cross-validation that a trial or fold belongs to
PAGE = 200  # runs that one answer may hold: half a second's worth
# Makes the UI open an experiment with its training runs, not with those of language models.
KIND = {"mlflow.experimentKind": "custom_model_development"}


@dataclass(frozen=True)
class MlflowStore:
    """An MLflow server or database, ready to use."""

    client: "MlflowClient"
    root: Path
    embedded: bool

    def locks(self) -> Path:
        """Where processes agree on who brings what."""
        folder = self.root / "mlruns" / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def experiment_id(self, name: str) -> str:
        """The experiment of a data set, made if need be.

        Raises:
            AssayError: the embedded view was made in another folder.
        """
        experiment = self.client.get_experiment_by_name(name) or self._create_experiment(name)
        if self.embedded and experiment.artifact_location != self._location(name):
            raise moved(self.root)
        return str(experiment.experiment_id)

    def find_runs(self, experiment: str, lineage: str) -> list["Run"]:
        """All runs of a lineage in an experiment, oldest first."""
        query, order = f"tags.`lineage.id` = '{lineage}'", ["attributes.start_time ASC"]
        return list(self.client.search_runs([experiment], query, order_by=order))

    def find_children(self, experiment: str, parent: str, condition: str = "") -> list["Run"]:
        """All runs of trials or folds of the lineage ``parent``, oldest first; a page at a time, as each
        run comes with all that it has."""
        query, order = f"tags.`{PARENT}` = '{parent}'{condition}", ["attributes.start_time ASC"]
        found: list[Run] = []
        token = None
        while True:
            page = self.client.search_runs(
                [experiment], query, max_results=PAGE, order_by=order, page_token=token
            )
            found += page
            token = page.token
            if not token:
                return found

    def _create_experiment(self, name: str) -> "Experiment":
        from mlflow.exceptions import MlflowException

        try:
            location = self._location(name) if self.embedded else None
            self.client.create_experiment(name, location, tags=KIND)
        except MlflowException:
            if self.client.get_experiment_by_name(name) is None:  # else another process was faster
                raise
        found = self.client.get_experiment_by_name(name)
        assert found is not None
        return found

    def _location(self, name: str) -> str:
        return (self.root / "mlruns" / "artifacts" / name).as_uri()


def moved(root: Path) -> AssayError:
    """What to say when the database names artifacts in another folder than ``root``."""
    return AssayError(
        "mlruns/mlflow.db was made when the repository lay in another folder, so its artifacts are not "
        f"found from {root}. Make it anew from the journal: python -m src.track --rebuild"
    )


def connect(root: Path, patient: bool = False) -> MlflowStore:
    """Open the view; makes the embedded database if it is missing."""
    root = root.resolve()
    _prepare(patient)
    if not is_embedded():
        return MlflowStore(_client(os.environ["MLFLOW_TRACKING_URI"]), root, embedded=False)
    create_database(root)
    return MlflowStore(_client(database_uri(database(root))), root, embedded=True)


def connect_beside(root: Path, path: Path) -> MlflowStore:
    """Open a database that is being built for ``root``."""
    _prepare(patient=True)
    return MlflowStore(_client(database_uri(path)), root, embedded=True)


def is_embedded() -> bool:
    """Whether the view is the repository's own, and not a team's server."""
    return not os.environ.get("MLFLOW_TRACKING_URI")


def database(root: Path) -> Path:
    """The embedded database of the repository ``root``."""
    return root / "mlruns" / "mlflow.db"


def database_uri(path: Path) -> str:
    """SQLAlchemy's name of an SQLite file."""
    return f"sqlite:///{path}"


def create_database(root: Path) -> None:
    """Make the embedded database if it is missing; safe with many processes at once.

    MLflow's own first use migrates an empty file step by step, and a second process that meets it
    half-way crashes. So it is made beside, by one process, and appears complete.
    """
    path = database(root)
    if path.is_file():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        if path.is_file():
            return
        with building(path) as beside:
            _client(database_uri(beside)).search_experiments(max_results=1)


@contextmanager
def building(path: Path) -> Iterator[Path]:
    """Yield a file for a new database; on leaving, its content takes the place of ``path``'s in one step."""
    beside = path.with_name("building.db")
    _remove_database(beside)
    yield beside
    if not (path.is_file() and _copy(beside, path)):
        with replaced(path) as ready:
            _copy(beside, ready)
            _remove_database(path)
    _remove_database(beside)


def _copy(source: Path, target: Path) -> bool:
    """Copy what was committed; who reads ``target`` meanwhile sees all or nothing. False if it is broken."""
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target, timeout=30)) as new:
        try:
            old.backup(new)
            new.execute("PRAGMA journal_mode=WAL")  # readers and a writer at once, and faster
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):  # locked, or the disk is full
                raise
            return False
    return True


def _remove_database(path: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _prepare(patient: bool) -> None:
    """Set what MLflow reads from the environment, unless the user has set it."""
    ours = {**(PATIENT if patient else HASTY), **QUIET}
    for name, value in ours.items():
        os.environ.setdefault(name, value)


def _client(uri: str) -> "MlflowClient":
    import mlflow

    for name in CHATTY:  # after the import, which sets levels of its own
        logging.getLogger(name).setLevel(logging.ERROR)
    before = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(uri)  # for what takes no address, such as models:/NAME@alias
    if before is None:  # MLflow exports it, and then nobody could tell it from the user's own
        os.environ.pop("MLFLOW_TRACKING_URI", None)
    return mlflow.MlflowClient(tracking_uri=uri)


def unreachable(error: Exception) -> AssayError:
    """What to say to a person who has asked for something that only MLflow can do."""
    where = os.environ.get("MLFLOW_TRACKING_URI", "mlruns/mlflow.db")
    return AssayError(
        f"MLflow at {where} does not answer: {first_line(error)}\nThe journal keeps everything; "
        "start the server (or unset MLFLOW_TRACKING_URI to use the embedded one), then run this again"
    )
