"""Where MLflow's view of the journal lives: a tracking server, or MLflow's default store in the repository.

``MLFLOW_TRACKING_URI`` wins. Without it, the store is the one that a bare MLflow client finds in the
repository: the database ``mlflow.db`` with the artifacts in ``mlruns/``. The model registry is part of the
same store; ``MLFLOW_REGISTRY_URI`` counts only if both variables are set.
"""

import logging
import os
import sqlite3
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from filelock import FileLock

from src.core.errors import AssayError, first_line

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, ExperimentTag, Run


TRACKING, REGISTRY = "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"
# What one call may cost. A stage must not wait for a server; a person who runs `src.track` may.
HASTY = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "3"}
PATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # every stage would call home
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",  # a bar for each figure, below our own bars
    "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "false",  # a thread, and a point every ten seconds
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # two lines for each run on a server
    "MLFLOW_UV_AUTO_DETECT": "false",  # requirements are given, not guessed
    "GIT_PYTHON_REFRESH": "quiet",  # src.provenance asks git, which may be missing
}
# Loggers that report the creation of tables and the validation of examples: no news for a stage's reader.
CHATTY = ("mlflow", "alembic")
PARENT = "lineage.parent"  # tag: lineage of the sweep or cross-validation that a trial or fold belongs to
PAGE = 200  # runs in one answer: half a second's worth
# Makes the UI open an experiment in its machine-learning view, not in that for language models.
KIND = {"mlflow.experimentKind": "custom_model_development"}
# MLflow decodes local paths as it does URLs, and writes the first one into SQL by Python's repr.
ENCODED = {ord(character): quote(character) for character in "%#?'\"\\\n\r\t"}
ABANDONED = 20.0  # seconds without a write after which nobody is creating a database any more


@dataclass(frozen=True)
class MlflowStore:
    """An MLflow server or database, ready to use."""

    client: "MlflowClient"
    root: Path
    embedded: bool
    experiment_ids: dict[str, str] = field(default_factory=dict, repr=False)  # those asked for before

    def experiment_id(self, name: str) -> str:
        """The experiment of a data set; created if it is missing. MLflow is asked once.

        Raises:
            AssayError: It was deleted in MLflow, or its artifacts are in another folder because the
                repository was moved.
        """
        if name not in self.experiment_ids:
            self.experiment_ids[name] = self._find_experiment(name)
        return self.experiment_ids[name]

    def _find_experiment(self, name: str) -> str:
        experiment = self.client.get_experiment_by_name(name) or self._create_experiment(name)
        if experiment.lifecycle_stage == "deleted":
            raise deleted(experiment, self.embedded)
        if self.embedded and _is_outside(experiment.artifact_location, self.root):
            raise moved(self.root)
        return str(experiment.experiment_id)

    def find_runs(self, experiment: str, lineage: str) -> list["Run"]:
        """All runs of a lineage in an experiment, oldest first."""
        query, order = f"tags.`lineage.id` = '{lineage}'", ["attributes.start_time ASC"]
        return list(self.client.search_runs([experiment], query, order_by=order))

    def find_children(self, experiment: str, parent: str, condition: str = "") -> list["Run"]:
        """All runs of trials or folds of the lineage ``parent``, oldest first.

        They come page by page, because each run comes with all its metrics, parameters and tags.
        """
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
            if self.embedded:
                _open_database(self.client.tracking_uri, self.root).create_experiment(name, tags=_kind())
            else:
                self.client.create_experiment(name, tags=KIND)
        except MlflowException:
            if self.client.get_experiment_by_name(name) is None:  # else another process was faster
                raise
        found = self.client.get_experiment_by_name(name)
        assert found is not None
        return found


def deleted(experiment: "Experiment", embedded: bool) -> AssayError:
    """The error for an experiment that somebody deleted on MLflow's pages."""
    restore = f"mlflow experiments restore --experiment-id {experiment.experiment_id}"
    rebuild = ", or build everything again from the journal: python -m src.track --rebuild"
    return AssayError(
        f"the experiment {experiment.name} was deleted in MLflow. Restore it: {restore}"
        f"{rebuild if embedded else ''}"
    )


def moved(root: Path) -> AssayError:
    """The error for a database whose artifacts are outside ``root``."""
    return AssayError(
        f"the artifacts of mlflow.db are outside {root}: the repository was moved or copied. Build the "
        "database again from the journal: python -m src.track --rebuild"
    )


def connect(root: Path, patient: bool = False) -> MlflowStore:
    """Open the store; creates the embedded database if it is missing."""
    root = root.resolve()
    _prepare(patient)
    if not is_embedded():
        return MlflowStore(_client(os.environ[TRACKING], os.environ.get(REGISTRY)), root, embedded=False)
    create_database(root)
    return _embedded(root, database(root))


def connect_beside(root: Path, path: Path) -> MlflowStore:
    """Open a database that is being built for ``root``."""
    _prepare(patient=True)
    return _embedded(root, path)


def is_embedded() -> bool:
    """Whether the store is the repository's own, and not a team's server."""
    return not os.environ.get(TRACKING)


def database(root: Path) -> Path:
    """The embedded database of the repository ``root``, where a bare MLflow client looks for it."""
    return root / "mlflow.db"


def artifact_root(root: Path) -> Path:
    """Where the embedded store keeps artifacts, as a bare MLflow client does."""
    return root / "mlruns"


def locks(root: Path) -> Path:
    """The folder of the locks by which processes of this machine take turns."""
    folder = root / ".assay" / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def database_uri(path: Path) -> str:
    """SQLAlchemy's name of an SQLite file.

    SQLAlchemy decodes the path, so it is quoted. MLflow does not, and would make the folder of a quoted path
    if the address began with sqlite:///.
    """
    return f"sqlite+pysqlite:///{quote(str(path))}"


def create_database(root: Path) -> None:
    """Create the embedded database if it is missing; safe with many processes at once.

    MLflow migrates an empty file step by step, and a second process that opens it meanwhile crashes. So one
    process creates the database under another name, and links it into place when it is complete. Where a
    bare MLflow client is creating it, wait for that.
    """
    path = database(root)
    if _is_complete(path):
        return
    with database_lock(root):
        if path.exists():
            _wait_for_client(path)
            return
        with new_database(root) as complete:
            _set_wal(complete)
            _link(complete, path)


@contextmanager
def database_lock(root: Path) -> Iterator[None]:
    """One process of Assay at a time creates or replaces the database."""
    with FileLock(locks(root) / "database.lock"):
        yield


@contextmanager
def new_database(root: Path) -> Iterator[Path]:
    """An empty database for ``root`` beside the one in use; removed on leaving. Needs `database_lock`."""
    for left_behind in root.glob("mlflow.db.new-*"):
        left_behind.unlink()
    path = root / f"mlflow.db.new-{uuid.uuid4().hex}"  # a new name, because MLflow caches connections
    _open_database(database_uri(path), root)._dispose_engine()
    try:
        yield path
    finally:
        _remove_database(path)


def replace_database(path: Path, new: Path) -> None:
    """Give ``path`` the content of ``new`` in one step, for those who read it meanwhile too."""
    _set_wal(new)
    if not (path.is_file() and _copy(new, path)):
        _remove_database(path)
        new.replace(path)


def _open_database(uri: str, root: Path) -> Any:
    """MLflow's store of a database file, with artifacts below ``root`` whatever the current folder is."""
    from mlflow.store.tracking import sqlalchemy_store

    _silence()
    store: Any = sqlalchemy_store.SqlAlchemyStore
    return store(uri, str(artifact_root(root)).translate(ENCODED))


def _embedded(root: Path, path: Path) -> MlflowStore:
    """The store in the database file ``path``."""
    uri = database_uri(path)
    client = _client(uri)
    _commit_without_waiting(uri)
    return MlflowStore(client, root, embedded=True)


def _commit_without_waiting(uri: str) -> None:
    """Let commits not wait for the disk, which takes longer than all else.

    With a write-ahead log a power cut may undo the last commits, but breaks nothing; the journal has what
    they said, and the next ``src.track`` finds it missing.
    """
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from sqlalchemy import event

    engine = SqlAlchemyStore._get_or_create_engine(uri)  # the one that the client uses
    if not event.contains(engine, "connect", _set_synchronous):
        event.listen(engine, "connect", _set_synchronous)
        engine.dispose()  # connections from before


def _set_synchronous(connection: Any, _: object) -> None:
    if connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal":  # else it could break the file
        connection.execute("PRAGMA synchronous = NORMAL")


def _kind() -> list["ExperimentTag"]:
    from mlflow.entities import ExperimentTag

    return [ExperimentTag(key, value) for key, value in KIND.items()]


def _is_complete(path: Path) -> bool:
    """Whether MLflow has created all of a database: its default experiment comes last."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            return connection.execute("SELECT 1 FROM experiments LIMIT 1").fetchone() is not None
    except sqlite3.OperationalError:  # no file, or no table yet
        return False
    except sqlite3.DatabaseError:  # not a database at all: MLflow reports it
        return True


def _wait_for_client(path: Path) -> None:
    """Until a bare MLflow client has created the database, or is gone: then MLflow creates the rest."""
    while not _is_complete(path) and time.time() - path.stat().st_mtime < ABANDONED:
        time.sleep(0.1)


def _link(complete: Path, path: Path) -> None:
    """Put a database in place unless another client was faster."""
    try:
        os.link(complete, path)
    except OSError:  # it exists, or the file system has no links
        if not path.exists():
            complete.replace(path)


def _set_wal(path: Path) -> None:
    """Readers and a writer at once, and faster."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")


def _copy(source: Path, target: Path) -> bool:
    """Copy what was committed; readers of ``target`` see all or nothing. False if it is broken."""
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target, timeout=30)) as new:
        try:
            old.backup(new)
        except sqlite3.OperationalError:  # locked, or the disk is full
            raise
        except sqlite3.DatabaseError:
            return False
    return True


def _remove_database(path: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _is_outside(location: str, root: Path) -> bool:
    """Whether artifacts are in a local folder that is not below ``root``."""
    from mlflow.utils import file_utils, uri

    if not uri.is_local_uri(location):  # type: ignore[no-untyped-call]
        return False
    return not Path(file_utils.local_file_uri_to_path(location)).is_relative_to(root)  # type: ignore[no-untyped-call]


def _prepare(patient: bool) -> None:
    """Set what MLflow reads from the environment, unless the user has set it."""
    ours = {**(PATIENT if patient else HASTY), **QUIET}
    for name, value in ours.items():
        os.environ.setdefault(name, value)


def _client(uri: str, registry_uri: str | None = None) -> "MlflowClient":
    """A client; functions of MLflow that take no client (``models:/NAME@alias``) use the same store."""
    import mlflow

    _silence()
    registry_uri = registry_uri or uri
    before = {name: os.environ.get(name) for name in (TRACKING, REGISTRY)}
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(registry_uri)
    for name, value in before.items():  # MLflow exports both, as if the user had set them
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value
    return mlflow.MlflowClient(tracking_uri=uri, registry_uri=registry_uri)


def _silence() -> None:
    import mlflow  # noqa: F401  # it sets the levels of its loggers when it is imported

    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.ERROR)


def unreachable(error: Exception) -> AssayError:
    """The error for a person who asked for something that only MLflow can do."""
    if is_embedded():
        return AssayError(
            f"mlflow.db cannot be used: {first_line(error)}\n"
            "The journal has everything. Build the database again: python -m src.track --rebuild"
        )
    return AssayError(
        f"MLflow at {os.environ[TRACKING]} failed: {first_line(error)}\nThe journal has everything. Start or "
        "repair the server, or unset MLFLOW_TRACKING_URI to use mlflow.db; then run this again"
    )
