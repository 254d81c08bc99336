"""A tracking server that refuses, hangs or dies costs a few seconds and one warning, and no figure."""

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from src.registry.decisions import decisions
from src.registry.mlflow_registry import try_apply_decisions
from src.track import track
from src.tracking import circuit_breaker
from src.tracking.circuit_breaker import CircuitBreaker
from src.tracking.live import Tracker
from src.tracking.mlflow_store import HASTY
from src.tracking.sync import synchronize
from tests.support.journals import add_epochs, begin, compressed, finish, lineage_of, make_variant
from tests.support.registries import decide_on
from tests.support.servers import Server, free_port

CURVE = [(0, 0.0), (1, 0.1), (2, 0.2)]
A_FEW = 10.0  # seconds; 3 to 4 on an idle machine


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"))
    yield server
    server.kill()


@pytest.fixture(autouse=True)
def fresh_circuit(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a new process."""
    monkeypatch.setattr(circuit_breaker, "circuit", CircuitBreaker())
    for name in HASTY:
        monkeypatch.setenv(name, "undone at the end of the test")
        monkeypatch.delenv(name)


def train(root: Path, name: str, fault: Callable[[], None] | None = None) -> tuple[list[str], float]:
    """A training during whose second epoch ``fault`` happens: what was said, and seconds it took."""
    said: list[str] = []
    attempt, tracker, spent = begin(root, "train", name), Tracker(root, lineage_of(name), said.append), 0.0
    spent += timed(tracker.start)
    for row in add_epochs(attempt, range(3)):
        if row["epoch"] == 1 and fault is not None:
            fault()
        spent += timed(lambda row=row: tracker.epoch(row))
    finish(attempt)
    return said, spent + timed(tracker.finish)


def curve(server: Server, name: str) -> tuple[str, list[tuple[int, float]]]:
    """Status and points of the one run of a lineage."""
    client = MlflowClient(server.address)
    experiment = client.get_experiment_by_name("shapes").experiment_id
    (run,) = client.search_runs([experiment], f"tags.`lineage.id` = '{lineage_of(name)}'")
    history = client.get_metric_history(run.info.run_id, "epoch/val/accuracy")
    return run.info.status, sorted((point.step, point.value) for point in history)


def test_a_server_that_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    said, spent = train(tmp_path, "refused")
    assert len(said) == 1 and "python -m src.track" in said[0]
    assert spent < A_FEW


@pytest.mark.prove  # tests/tracking/test_child_runs.py shows it of trials
def test_a_server_that_hangs(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    said, spent = train(tmp_path, "hung", lambda: server.signal(signal.SIGSTOP))
    server.signal(signal.SIGCONT)
    assert len(said) == 1
    assert spent < A_FEW
    synchronize(tmp_path, patient=True)
    assert curve(server, "hung") == ("FINISHED", CURVE)
    synchronize(tmp_path, patient=True)  # once means once
    assert curve(server, "hung") == ("FINISHED", CURVE)


@pytest.mark.prove
def test_a_server_that_dies(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    said, spent = train(tmp_path, "orphaned", server.kill)
    assert len(said) == 1
    assert spent < A_FEW
    make_variant(tmp_path / "onnx")
    variant = compressed(tmp_path, tmp_path / "onnx", "orphaned").record
    decide_on(tmp_path, tmp_path / "onnx", variant["lineage"])
    decided = decisions(tmp_path)
    assert try_apply_decisions(tmp_path, "shapes", said.append) is None  # decided, and kept for later
    assert decisions(tmp_path) == decided
    server.start()
    _, versions = track(tmp_path)
    assert curve(server, "orphaned") == ("FINISHED", CURVE)
    assert [str(version) for version in versions] == ["shapes version 1 (champion)"]


def timed(action: Callable[[], None]) -> float:
    begin = time.monotonic()
    action()
    return time.monotonic() - begin
