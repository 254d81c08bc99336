"""What the tests start from: clones of the repository, and empty MLflow stores."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from src.tracking import circuit_breaker
from src.tracking.circuit_breaker import CircuitBreaker
from src.tracking.mlflow_store import create_database, database
from tests.support.workspaces import Workspace, clone_working_tree

# Tests run side by side, and a second thread of torch would only wait for the core of the other process.
# Read when torch is imported; the commands that tests start have what their users have.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Fixtures and imports of tests that start stages or commands in a clone: `make test-fast` leaves them out.
CLONES = {"workspace", "finished", "Workspace", "clone_working_tree"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with a file that needs the finished pipeline: one process makes it, and the other meanwhile runs
    tests that do not wait for it."""
    items.sort(key=lambda item: item.path.name != "test_failures.py")
    for item in items:
        if CLONES & {*getattr(item, "fixturenames", ()), *vars(getattr(item, "module", item))}:
            item.add_marker("pipeline")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A fresh clone in which nothing has been run."""
    return clone_working_tree(tmp_path / "clone")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Workspace:
    """A clone in which ``dvc repro`` of ``experiment=tiny`` has ended well. Look, but change nothing.

    The processes of one run of pytest share it: the first makes it, the others wait.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent  # xdist gives each process a folder below
    workspace, summary = Workspace(shared / "finished" / "first clone"), shared / "finished.txt"
    with FileLock(shared / "finished.lock"):
        if not summary.is_file():
            clone_working_tree(workspace.folder)
            workspace.compose("experiment=tiny")
            summary.write_text(workspace.run("dvc", "repro").stdout)
    workspace.summary = summary.read_text()
    return workspace


@pytest.fixture
def copy(finished: Workspace, tmp_path: Path) -> Workspace:
    """A copy of the finished pipeline, cache and all, to continue from."""
    return finished.copy(tmp_path / "copy")


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database as it is made for the first time (which takes seconds)."""
    root = tmp_path_factory.mktemp("empty")
    create_database(root)
    return database(root)


@pytest.fixture
def root(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A repository with an empty view."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(circuit_breaker, "circuit", CircuitBreaker())
    folder = tmp_path / "repository"
    folder.mkdir()
    shutil.copy(empty_database, database(folder))
    yield folder


@pytest.fixture
def mate(tmp_path: Path, empty_database: Path) -> Path:
    """The repository of a colleague, with an empty view."""
    folder = tmp_path / "mate"
    folder.mkdir()
    shutil.copy(empty_database, database(folder))
    return folder
