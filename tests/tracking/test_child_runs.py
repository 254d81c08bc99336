"""Trials and folds are runs below their sweep or cross-validation, each once, each with its true state."""

import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from mlflow.entities import Run

from src.core.processes import process_identity
from src.pipeline.leftovers import leftovers
from src.tracking import circuit_breaker, mlflow_store
from src.tracking.child_runs import Children
from src.tracking.journal_index import JournalIndex
from src.tracking.live import Tracker
from src.tracking.mlflow_store import HASTY, connect, database
from src.tracking.rebuild import rebuild
from src.tracking.sync import synchronize
from tests.faults.test_outage import A_FEW, Server
from tests.support.journals import (
    add_epochs,
    begin,
    begin_child,
    begin_search,
    child_lineage,
    count,
    end_child,
    end_search,
    lineage_of,
    nothing,
    tried,
)
from tests.support.workspaces import ROOT

CURVE = [(0, 0.0), (1, 0.1), (2, 0.2)]
STATE = "assay.state"  # tag: a digest that holds the parent's run id


class Someone:
    """A real process of this host that can be killed."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(["sleep", "600"])
        started = psutil.Process(self.process.pid).create_time()
        self.identity = process_identity() | {"pid": self.process.pid, "started": started}

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def someone() -> Iterator[Someone]:
    someone = Someone()
    yield someone
    someone.kill()


def shown(root: Path) -> list[Run]:
    """All runs of MLflow, by name and start."""
    client = connect(root).client
    experiment = client.get_experiment_by_name("shapes")
    found = client.search_runs([experiment.experiment_id]) if experiment else []
    return sorted(found, key=lambda run: (run.info.run_name, run.info.start_time))


def by_name(root: Path) -> dict[str, Run]:
    """{name of the run: run}; each name is there once."""
    found = shown(root)
    named = {run.info.run_name: run for run in found}
    assert len(named) == len(found), [run.info.run_name for run in found]
    return named


def statuses(root: Path) -> dict[str, str]:
    """{name of the run: status}, with the sweep's name cut short."""
    return {name.split("-cnn")[0]: run.info.status for name, run in by_name(root).items()}


def curve(root: Path, run: Run, key: str = "epoch/val/accuracy") -> list[tuple[int, float]]:
    """(epoch, value) of every point, doubled ones twice."""
    history = connect(root).client.get_metric_history(run.info.run_id, key)
    return sorted((point.step, point.value) for point in history)


def best(root: Path) -> list[str]:
    """The names of the runs that bear the mark."""
    return [name for name, run in by_name(root).items() if run.data.tags.get("best") == "true"]


def content(root: Path) -> list[Any]:
    """What all runs show, without what differs from one view to the next."""
    names = {run.info.run_id: run.info.run_name for run in shown(root)}
    return [
        [
            (run.info.run_name, run.info.status, run.info.start_time, run.info.end_time),
            (run.data.params, run.data.metrics, curve(root, run)),
            {k: names.get(v, v) for k, v in run.data.tags.items() if v and k != STATE},
        ]
        for run in shown(root)
    ]


@pytest.mark.slow
def test_every_trial_shows_its_state_below_its_sweep(root: Path) -> None:
    sweep = begin_search(root)
    for number, state in enumerate(["complete", "pruned", "failed"]):
        tried(root, number, state)
    reused = begin_child(root, 3, tags={"trial.number": "3", "trial.reused": "0"})
    end_child(reused, metrics={"val/accuracy": 0.2})
    end_search(sweep, best=0)
    assert count(synchronize(root), "created") == 5
    runs = by_name(root)
    parent = runs.pop(f"sweep-cnn-{lineage_of('sweep')[:8]}")
    assert parent.info.status == "FINISHED"
    assert list(runs) == ["trial-000", "trial-001", "trial-002", "trial-003"]
    for number, run in enumerate(runs.values()):
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.data.tags["lineage.id"] == child_lineage("sweep", number)
        assert run.data.params == {"train.optimizer.lr": str(0.1 / (1 + number)), "model.dropout": "0.5"}
    complete, pruned, failed, reused_run = runs.values()
    assert [run.data.tags["trial.state"] for run in runs.values()] == [
        "complete",
        "pruned",
        "failed",
        "complete",
    ]
    assert [run.info.status for run in runs.values()] == ["FINISHED", "FINISHED", "FAILED", "FINISHED"]
    assert failed.data.tags["status.reason"] == "loss is NaN in epoch 2"
    assert "status.reason" not in complete.data.tags
    assert reused_run.data.tags["trial.reused"] == "0"
    assert curve(root, complete) == curve(root, pruned) == curve(root, failed) == CURVE
    assert complete.data.metrics == {
        "epoch/train/loss": 1 / 3, "epoch/val/accuracy": 0.2, "val/accuracy": 0.2, "model/bytes": 1000.0
    }  # fmt: skip
    assert reused_run.data.metrics == {"val/accuracy": 0.2}
    assert best(root) == ["trial-000"]


def test_folds_show_their_figures_as_they_are(root: Path) -> None:
    parent = begin_search(root, "cross_validate")
    for fold in range(2):
        attempt = begin_child(root, 0, fold, parent="cross_validate")
        end_child(attempt, metrics={"cv/accuracy": 0.9, "cv/roc_auc": 0.99})
    parent.close("FINISHED")
    synchronize(root)
    runs = by_name(root)
    above = runs[f"cross_validate-cnn-{lineage_of('cross_validate')[:8]}"].info.run_id
    for name in ("fold-0-0", "fold-0-1"):
        assert runs[name].data.tags["mlflow.parentRunId"] == above
        assert runs[name].data.metrics == {"cv/accuracy": 0.9, "cv/roc_auc": 0.99}


def test_children_come_while_the_sweep_goes_on_and_again_changes_nothing(root: Path) -> None:
    sweep, tracker = begin_search(root), Tracker(root, lineage_of("sweep"))
    tracker.start()
    for number in range(3):
        tracker.show_child(tried(root, number))
    wait_for_runs(root, 4)
    assert statuses(root)["sweep"] == "RUNNING"
    end_search(sweep, best=1)
    tracker.finish()
    before = content(root)
    assert statuses(root) == dict.fromkeys(["sweep", "trial-000", "trial-001", "trial-002"], "FINISHED")
    assert best(root) == ["trial-001"]
    assert count(synchronize(root), "unchanged") == 4
    assert content(root) == before


def test_finish_brings_what_was_never_shown(root: Path) -> None:
    sweep, tracker = begin_search(root), Tracker(root, lineage_of("sweep"))
    tracker.start()
    tried(root, 0)
    end_search(sweep)
    tracker.finish()
    assert statuses(root) == {"sweep": "FINISHED", "trial-000": "FINISHED"}


def test_the_mark_moves_to_another_trial(root: Path) -> None:
    first = begin_search(root)
    tried(root, 0)
    end_search(first, best=0, status="FAILED")
    synchronize(root)
    assert best(root) == ["trial-000"]
    second, tracker = begin_search(root), Tracker(root, lineage_of("sweep"))
    tracker.start()
    tracker.show_child(tried(root, 1))
    end_search(second, best=1)
    tracker.finish()
    assert best(root) == ["trial-001"]
    assert statuses(root) == dict.fromkeys(["sweep", "trial-000", "trial-001"], "FINISHED")


def test_a_killed_trial_that_goes_on_is_one_run(root: Path, someone: Someone) -> None:
    begin_search(root, process=someone.identity)
    add_epochs(begin_child(root, 0, process=someone.identity), range(2))
    someone.kill()
    other = begin(root, "ingest", "ingest")
    Tracker(root, other.record["lineage"]).start()  # whichever stage comes next
    assert statuses(root) == {"sweep": "KILLED", "trial-000": "KILLED"}
    assert by_name(root)["trial-000"].data.tags["status.reason"] == "the process is gone"
    sweep, tracker = begin_search(root), Tracker(root, lineage_of("sweep"))
    tracker.start()
    again = begin_child(root, 0)
    add_epochs(again, range(1, 3))  # the first epoch's checkpoint was there
    tracker.show_child(end_child(again))
    end_search(sweep)
    tracker.finish()
    assert statuses(root) == {"sweep": "FINISHED", "trial-000": "FINISHED"}
    run = by_name(root)["trial-000"]
    assert (curve(root, run), run.data.tags["status.reason"]) == (CURVE, "")


def test_nothing_is_running_after_the_sweep_was_killed(root: Path, someone: Someone) -> None:
    """Not even a trial that was seen while it ran, and had ended before MLflow could hear of it."""
    begin_search(root, process=someone.identity)
    ended = begin_child(root, 0, process=someone.identity)
    begin_child(root, 1, process=someone.identity)
    synchronize(root)  # a person looks on: python -m src.track
    assert set(statuses(root).values()) == {"RUNNING"}
    end_child(ended)
    someone.kill()
    Tracker(root, begin(root, "ingest", "ingest").record["lineage"]).start()
    assert statuses(root) == {"sweep": "KILLED", "trial-000": "FINISHED", "trial-001": "KILLED"}
    assert JournalIndex(root).dead() == []


@pytest.mark.slow
def test_a_real_kill_in_the_middle_loses_no_trial_and_doubles_none(root: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from src.tracking.live import Tracker;"
        "from tests.support.journals import *; root = Path(sys.argv[1]); begin_search(root);"
        "tracker = Tracker(root, lineage_of('sweep')); tracker.start(); begin_child(root, 6);"
        "[tracker.show_child(tried(root, number)) for number in range(6)];"
        "os.kill(os.getpid(), signal.SIGKILL)"  # while the thread is at work
    )
    subprocess.run([sys.executable, "-c", code, str(root)], cwd=ROOT)
    sweep, tracker = begin_search(root), Tracker(root, lineage_of("sweep"))
    tracker.start()
    assert statuses(root)["trial-006"] == "KILLED"
    tracker.show_child(end_child(begin_child(root, 6)))
    end_search(sweep)
    tracker.finish()
    assert statuses(root) == {"sweep": "FINISHED"} | {f"trial-{n:03d}": "FINISHED" for n in range(7)}


def test_a_forced_repetition_with_equal_outcomes_doubles_nothing(root: Path) -> None:
    for repetition in (False, True):
        sweep, tracker = begin_search(root), Tracker(root, lineage_of("sweep"))
        tracker.start()
        begun = begin_child(root, 2)
        if repetition:  # a person looks on, and sees the repetition run
            synchronize(root)
        for number, state in enumerate(["complete", "failed"]):
            tracker.show_child(tried(root, number, state))
        tracker.show_child(end_child(begun))
        end_search(sweep)
        tracker.finish()
    runs = by_name(root)
    assert statuses(root) == {
        "sweep": "FINISHED", "trial-000": "FINISHED", "trial-001": "FAILED", "trial-002": "FINISHED"
    }  # fmt: skip
    assert curve(root, runs["trial-000"]) == curve(root, runs["trial-001"]) == CURVE
    parents = {
        run.data.tags.get("mlflow.parentRunId") for name, run in runs.items() if name.startswith("trial")
    }
    assert parents == {runs[f"sweep-cnn-{lineage_of('sweep')[:8]}"].info.run_id}


def test_another_outcome_is_a_second_run_below_the_sweep_that_had_it(root: Path) -> None:
    for outcome in ("first", "second"):
        sweep, tracker = begin_search(root), Tracker(root, lineage_of("sweep"))
        tracker.start()
        tracker.show_child(tried(root, 0, outcome=outcome))
        end_search(sweep, weights=outcome)
        tracker.finish()
    runs = shown(root)
    assert [run.info.run_name.split("-cnn")[0] for run in runs] == [
        "sweep",
        "sweep",
        "trial-000",
        "trial-000",
    ]
    sweeps, trials = runs[:2], runs[2:]
    assert [t.data.tags["mlflow.parentRunId"] for t in trials] == [s.info.run_id for s in sweeps]
    assert trials[1].data.tags["lineage.first_run"] == trials[0].info.run_id
    assert [t.data.tags.get("best") for t in trials] == ["true", "true"]
    assert count(synchronize(root), "unchanged") == 4


def test_a_trial_lies_below_the_run_that_is_left_of_two(root: Path) -> None:
    """The repetition of a sweep is a run of its own until it is seen to have the same result."""
    for outcome in ("first", "second"):
        sweep, tracker = begin_search(root), Tracker(root, lineage_of("sweep"))
        tracker.start()
        tracker.show_child(tried(root, 0, outcome=outcome))
        wait_for_runs(root, 2 if outcome == "first" else 4)
        end_search(sweep)
        tracker.finish()
    sweep_run, *trials = shown(root)
    assert [trial.data.tags["mlflow.parentRunId"] for trial in trials] == [sweep_run.info.run_id] * 2


@pytest.mark.slow
def test_a_rebuilt_view_is_equal(root: Path) -> None:
    sweep, tracker = begin_search(root), Tracker(root, lineage_of("sweep"))
    tracker.start()
    for number, state in enumerate(["complete", "pruned", "failed"]):
        tracker.show_child(tried(root, number, state))
    end_search(sweep, best=1)
    tracker.finish()
    before = content(root)
    assert count(rebuild(root, then=nothing), "created") == 4
    assert content(root) == before


def test_trials_of_a_sweep_on_another_machine(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried(root, 0)
    synchronize(root)
    assert "mlflow.parentRunId" not in by_name(root)["trial-000"].data.tags
    mate = tmp_path / "mate"
    begin_search(mate)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database(root)}")  # both speak to one store
    synchronize(mate)
    tried(root, 1)
    assert [run.done for run in synchronize(root)] == ["refreshed", "created"]
    runs = by_name(root)
    above = runs[f"sweep-cnn-{lineage_of('sweep')[:8]}"]
    assert above.info.status == "RUNNING"
    assert {runs[f"trial-00{n}"].data.tags["mlflow.parentRunId"] for n in range(2)} == {above.info.run_id}


def test_two_processes_that_bring_the_same_children_bring_each_once(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow_store, "PAGE", 2)  # so that what there is takes several answers
    begin_search(root)
    lineages = [tried(root, number) for number in range(6)]
    first, second = Children(connect(root)), Children(connect(root))  # each with a memory of its own
    journal = JournalIndex(root)
    done = [side.sync(journal, lineage)[0].done for lineage in lineages for side in (first, second)]
    assert done == ["created", "unchanged"] * 6
    assert len(by_name(root)) == 7


def test_long_curves_come_whole(root: Path) -> None:
    begin_search(root)
    attempt = begin_child(root, 0)
    add_epochs(attempt, range(600))  # 1,200 points, more than MLflow takes at once
    end_child(attempt, metrics={"val/accuracy": 1.0})
    synchronize(root)
    run = by_name(root)["trial-000"]
    assert curve(root, run) == [(epoch, epoch / 10) for epoch in range(600)]
    assert run.data.metrics["val/accuracy"] == 1.0


def test_who_shows_no_child_starts_no_thread(root: Path) -> None:
    begin(root)
    before = threading.active_count()
    tracker = Tracker(root, lineage_of("one"))
    tracker.start()
    assert threading.active_count() == before
    tracker.finish()


def test_a_sweep_that_searches_nothing_has_no_run(root: Path) -> None:
    sweep = begin_search(root, params={"sweep.method": "none"})
    sweep.close("FINISHED")
    assert synchronize(root) == []


@pytest.mark.slow
def test_a_broken_store_costs_one_warning_and_no_trial(root: Path, empty_database: Path) -> None:
    sweep, said = begin_search(root), []
    tracker = Tracker(root, lineage_of("sweep"), said.append)
    tracker.start()
    tracker.show_child(tried(root, 0))
    wait_for_runs(root, 2)
    shutil.rmtree(root / ".assay/locks")
    (root / ".assay/locks").write_text("no folder")
    for number in range(1, 4):
        tracker.show_child(tried(root, number))
    end_search(sweep)
    tracker.finish()
    assert len(said) == 1 and "python -m src.track" in said[0]
    (root / ".assay/locks").unlink()
    assert count(synchronize(root), "created") == 3
    assert statuses(root) == {"sweep": "FINISHED"} | {f"trial-{n:03d}": "FINISHED" for n in range(4)}


def test_what_interrupted_searches_left_behind_is_described(root: Path) -> None:
    for stage, kind, number in (("sweep", "trials", 3), ("cross_validate", "folds", 2)):
        folder = root / ".assay" / "state" / stage / lineage_of(stage) / kind
        folder.mkdir(parents=True)
        for index in range(number):
            (folder / f"{index:05d}.json").write_text("{}")
    assert {left.stage: left.what for left in leftovers(root)} == {
        "cross_validate": "interrupted, with 2 finished folds",
        "sweep": "interrupted, with 3 finished trials",
    }


@pytest.fixture
def server(
    root: Path, tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Server]:
    """A real server, to which this process speaks as a stage does."""
    shutil.copy(empty_database, tmp_path / "server.db")
    server = Server(tmp_path)
    for name in HASTY:
        monkeypatch.setenv(name, "undone at the end of the test")
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    monkeypatch.setattr(circuit_breaker, "BUDGET", A_FEW)
    yield server
    server.signal(signal.SIGCONT)
    server.kill()


@pytest.mark.prove
def test_a_server_that_hangs_delays_no_trial_and_gets_each_once_later(server: Server, root: Path) -> None:
    sweep, said = begin_search(root), []
    tracker = Tracker(root, lineage_of("sweep"), said.append)
    tracker.start()
    tracker.show_child(tried(root, 0))
    wait_for_runs(root, 2)
    server.signal(signal.SIGSTOP)
    begin_time = time.monotonic()
    for number in range(1, 40):
        tracker.show_child(tried(root, number))
    end_search(sweep, best=7)
    tracker.finish()
    spent = time.monotonic() - begin_time
    assert spent < 2 * A_FEW  # one call runs into its limit of 3 s; 40 would take two minutes
    assert len(said) == 1
    server.signal(signal.SIGCONT)
    assert statuses(root)["sweep"] == "RUNNING"
    synchronize(root, patient=True)
    assert statuses(root) == {"sweep": "FINISHED"} | {f"trial-{n:03d}": "FINISHED" for n in range(40)}
    assert best(root) == ["trial-007"]
    assert count(synchronize(root, patient=True), "unchanged") == 41


def wait_for_runs(root: Path, count: int) -> None:
    """Until the thread has brought them."""
    deadline = time.monotonic() + 60
    while len(shown(root)) < count:
        assert time.monotonic() < deadline, f"{len(shown(root))} runs instead of {count} after a minute"
        time.sleep(0.05)
