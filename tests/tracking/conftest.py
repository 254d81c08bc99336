"""A repository with an empty view, quickly."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from src.tracking import circuit_breaker
from src.tracking.circuit_breaker import CircuitBreaker
from src.tracking.mlflow_store import create_database, database


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
    # MLflow puts the code of a loaded model first, where the workers of later tests would look for src.
    monkeypatch.setattr(sys, "path", [*sys.path])
    folder = tmp_path / "repository"
    database(folder).parent.mkdir(parents=True)
    shutil.copy(empty_database, database(folder))
    yield folder
