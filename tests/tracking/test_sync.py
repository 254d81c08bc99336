"""MLflow shows what the journal says, however often it is told, and whatever happened in between."""

import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from src.core.errors import AssayError
from src.core.hashing import json_hash
from src.tracking.live import Tracker
from src.tracking.mlflow_store import connect, database
from src.tracking.rebuild import rebuild
from src.tracking.sync import synchronize
from tests.support.journals import (
    add_epochs,
    begin,
    compressed,
    count,
    evaluated,
    finish,
    lineage_of,
    nothing,
    trained,
)
from tests.support.workspaces import ROOT


def runs(root: Path, name: str = "one") -> list[Run]:
    """What MLflow shows of a lineage, oldest first."""
    client = connect(root).client
    experiment = client.get_experiment_by_name("shapes")
    query = f"tags.`lineage.id` = '{lineage_of(name)}'"
    return list(client.search_runs([experiment.experiment_id], query, order_by=["attributes.start_time ASC"]))


def curve(root: Path, run: Run, key: str = "epoch/val/accuracy") -> list[tuple[int, float]]:
    """(epoch, value) of every point, doubled ones twice."""
    history = connect(root).client.get_metric_history(run.info.run_id, key)
    return sorted((point.step, point.value) for point in history)


CURVE = [(0, 0.0), (1, 0.1), (2, 0.2)]
SAFE = {"journal_mode": "wal", "synchronous": 1}  # 1: NORMAL, which breaks nothing together with this log


def test_metrics_of_a_class_with_any_name_are_shown(root: Path) -> None:
    """MLflow refuses brackets, and with them the whole batch."""
    attempt = begin(root, "train", "one")
    attempt.add_epoch({"epoch": 0, "val/recall/dog (brown)": 0.25})
    finish(attempt, metrics={"val/recall/dog (brown)": 0.5})
    synchronize(root)
    (run,) = runs(root)
    assert run.data.metrics["val/recall/dog _brown_"] == 0.5
    assert curve(root, run, "epoch/val/recall/dog _brown_") == [(0, 0.25)]


def test_a_run_shows_everything_of_its_training(root: Path, tmp_path: Path) -> None:
    trained(root)
    evaluated(root, tmp_path)
    synchronize(root)
    (run,) = runs(root)
    assert run.info.status == "FINISHED"
    assert curve(root, run) == CURVE
    assert run.data.metrics == {
        "epoch/train/loss": 1 / 3, "epoch/val/accuracy": 0.2, "val/accuracy": 0.2, "test/accuracy": 0.9
    }  # fmt: skip
    assert run.data.params == {"train.epochs": "3", "model.kind": "cnn", "seed": "7"}
    expected = {
        "stage": "train",
        "lineage.id": lineage_of("one"),
        "lineage.parents": json.dumps({"normalize": lineage_of("normalize")}),
        "git.commit": "c0ffee",
        "git.branch": "main",
        "git.dirty": "src/train.py",
        "mlflow.user": "somebody",
        "mlflow.source.git.branch": "main",
        "data.digest": json_hash("shapes"),
        "seed": "7",
        "numerics": json.dumps({"capability": "AVX512", "threads": 2, "torch": "2.13.0"}),
    }
    assert expected.items() <= run.data.tags.items()
    assert run.info.user_id == "somebody"
    assert len([key for key in run.data.tags if not key.startswith("mlflow.")]) <= 16
    (dataset,) = run.inputs.dataset_inputs
    assert (dataset.dataset.name, dataset.dataset.digest) == ("shapes", json_hash("shapes")[:36])
    figures = connect(root).client.list_artifacts(run.info.run_id, "evaluate")
    assert [figure.path for figure in figures] == ["evaluate/confusion.png"]


def test_a_training_costs_a_server_few_calls(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(root)
    evaluated(root, tmp_path)
    batches: list[tuple[int, int, int]] = []
    log_batch = MlflowClient.log_batch

    def counted(
        client: MlflowClient, run_id: str, metrics: list[Metric], params: list[Param], tags: list[RunTag]
    ) -> None:
        batches.append((len(metrics), len(params), len(tags)))
        log_batch(client, run_id, metrics, params, tags)

    monkeypatch.setattr(MlflowClient, "log_batch", counted)
    synchronize(root)
    (curves, parameters, _), (results, no_parameters, _) = batches  # before the figures, and after them
    assert (curves, parameters, results, no_parameters) == (6, 3, 2, 0)


def test_commits_do_not_wait_for_the_disk(root: Path) -> None:
    uri = connect(root).client.tracking_uri
    with SqlAlchemyStore._get_or_create_engine(uri).connect() as connection:
        found = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in SAFE}
    assert found == SAFE


def test_replaying_again_changes_nothing(root: Path, tmp_path: Path) -> None:
    trained(root)
    evaluated(root, tmp_path)
    first = synchronize(root)
    again = synchronize(root)
    assert (count(first, "created"), count(again, "unchanged"), len(again)) == (1, 1, 1)
    (run,) = runs(root)
    assert curve(root, run) == CURVE
    assert curve(root, run, "test/accuracy") == [(0, 0.9)]


def test_live_and_replay_give_the_same_points(root: Path) -> None:
    attempt = begin(root)
    tracker = Tracker(root, lineage_of("one"))
    tracker.start()
    (row,) = add_epochs(attempt, range(1))
    tracker.epoch(row)
    (run,) = runs(root)
    assert (run.info.status, curve(root, run)) == ("RUNNING", CURVE[:1])
    for row in add_epochs(attempt, range(1, 3)):
        tracker.epoch(row)
    finish(attempt)
    tracker.finish()
    (run,) = runs(root)
    assert (run.info.status, curve(root, run)) == ("FINISHED", CURVE)


def test_a_repetition_with_equal_outputs_refreshes_the_same_run(root: Path) -> None:
    for _ in range(2):
        attempt = begin(root)
        tracker = Tracker(root, lineage_of("one"))
        tracker.start()  # the repetition is seen while it runs, and then found to be one
        for row in add_epochs(attempt, range(3)):
            tracker.epoch(row)
        finish(attempt)
        tracker.finish()
    (run,) = runs(root)
    assert curve(root, run) == CURVE
    assert run.info.status == "FINISHED"


def test_an_interrupted_training_is_continued_in_its_run(root: Path) -> None:
    first = begin(root)
    tracker = Tracker(root, lineage_of("one"))
    tracker.start()
    for row in add_epochs(first, range(2)):
        tracker.epoch(row)
    first.close("KILLED", "interrupted")
    tracker.finish()
    (run,) = runs(root)
    assert (run.info.status, run.data.tags["status.reason"]) == ("KILLED", "interrupted")
    second = begin(root)
    tracker = Tracker(root, lineage_of("one"))
    tracker.start()
    assert runs(root)[0].info.status == "RUNNING"
    for row in add_epochs(second, range(1, 3)):  # epoch 1 was finished, but its checkpoint was not
        tracker.epoch(row)
    finish(second)
    tracker.finish()
    (run,) = runs(root)
    assert (run.info.status, run.data.tags["status.reason"]) == ("FINISHED", "")
    assert curve(root, run) == CURVE


def test_other_outputs_of_the_same_lineage_are_a_second_run_that_names_the_first(root: Path) -> None:
    trained(root)
    other = begin(root, numerics={"torch": "2.13.0", "capability": "AVX2", "threads": 2})
    add_epochs(other, range(3))
    finish(other, weights="others")
    synchronize(root)
    first, second = runs(root)
    assert second.data.tags["lineage.first_run"] == first.info.run_id
    assert second.data.tags["lineage.differs"] == (
        "model.safetensors; numerics.capability: AVX2 here, AVX512 there"
    )
    assert "lineage.first_run" not in first.data.tags


def test_a_team_mates_equal_result_is_the_same_run_and_stays_as_it_is(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(root)
    synchronize(root)
    (before,) = runs(root)
    mate = tmp_path / "mate"
    trained(mate)
    evaluated(mate, tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database(root)}")  # both speak to one store
    assert [synchronize(mate)[0].done for _ in range(2)] == ["refreshed", "unchanged"]
    (after,) = runs(mate)
    assert curve(mate, after) == CURVE
    assert before.data.tags.items() <= after.data.tags.items()
    assert after.data.metrics["test/accuracy"] == 0.9  # which nobody had said yet


def test_figures_wait_for_a_run_that_only_a_team_mate_has(root: Path, tmp_path: Path) -> None:
    evaluated(root, tmp_path)
    assert count(synchronize(root), "waiting") == 1
    trained(tmp_path / "mate")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database(root)}")
        synchronize(tmp_path / "mate")
    assert [synchronize(root)[0].done for _ in range(2)] == ["refreshed", "unchanged"]
    (run,) = runs(root)
    assert run.data.metrics["test/accuracy"] == 0.9
    assert curve(root, run) == CURVE


@pytest.mark.slow
def test_a_killed_process_is_not_running_for_ever(root: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from src.tracking.live import Tracker;"
        "from tests.support.journals import *; root = Path(sys.argv[1]); attempt = begin(root);"
        "tracker = Tracker(root, lineage_of('one')); tracker.start();"
        "tracker.epoch(add_epochs(attempt, range(1))[0]); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(root)], cwd=ROOT)
    assert runs(root)[0].info.status == "RUNNING"  # nobody could tell MLflow
    other = begin(root, "ingest", "ingest")
    Tracker(root, other.record["lineage"]).start()  # whichever stage comes next does
    (run,) = runs(root)
    assert (run.info.status, run.data.tags["status.reason"]) == ("KILLED", "the process is gone")
    assert curve(root, run) == CURVE[:1]


def test_a_run_on_another_host_is_left_alone(root: Path) -> None:
    begin(root, process={"pid": 1, "host": "elsewhere", "started": 1.0})
    synchronize(root)
    assert runs(root)[0].info.status == "RUNNING"


def test_a_failure_tells_its_reason(root: Path) -> None:
    begin(root).close("FAILED", "loss became NaN in epoch 2, step 17")
    synchronize(root)
    (run,) = runs(root)
    assert (run.info.status, run.data.tags["status.reason"]) == (
        "FAILED", "loss became NaN in epoch 2, step 17"
    )  # fmt: skip


def test_a_stage_replaces_only_its_own_metrics(root: Path, tmp_path: Path) -> None:
    trained(root)
    evaluated(root, tmp_path, accuracy=0.8)
    synchronize(root)
    evaluated(root, tmp_path, accuracy=0.9)
    synchronize(root)
    (run,) = runs(root)
    assert run.data.metrics["test/accuracy"] == 0.9
    assert curve(root, run) == CURVE


def test_stages_before_training_make_no_run(root: Path) -> None:
    for stage in ("ingest", "split", "normalize", "register"):
        finish(begin(root, stage, stage))
    assert synchronize(root) == []


def test_a_stage_without_a_run_does_not_import_mlflow(root: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from src.tracking.live import Tracker;"
        "from tests.support.journals import *;"
        "root = Path(sys.argv[1]); attempt = begin(root, 'ingest', 'ingest');"
        "tracker = Tracker(root, lineage_of('ingest')); tracker.start(); finish(attempt); tracker.finish();"
        "sys.exit('mlflow' in sys.modules or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(root)], cwd=ROOT).returncode == 0


def test_a_variant_is_a_child_with_its_model(root: Path, tmp_path: Path) -> None:
    trained(root)
    compressed(root, tmp_path / "onnx")
    synchronize(root)
    (parent,), (child,) = runs(root), runs(root, "onnx one")
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    (output,) = child.outputs.model_outputs
    model = connect(root).client.get_logged_model(output.model_id)
    assert (model.name, model.tags["lineage.id"]) == ("onnx_fp32", lineage_of("onnx one"))
    assert {metric.key: metric.value for metric in model.metrics} == {"val/accuracy": 0.8}


@pytest.mark.prove
def test_four_processes_on_a_missing_database(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from src.tracking.live import Tracker;"
        "from tests.support.journals import *;"
        "root = Path(sys.argv[1]); name = sys.argv[2]; attempt = begin(root, 'train', name);"
        "tracker = Tracker(root, lineage_of(name)); tracker.start(); finish(attempt); tracker.finish()"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path), str(n)], cwd=ROOT, stderr=subprocess.PIPE
        )
        for n in range(4)
    ]
    assert [process.communicate()[1] for process in processes] == [b""] * 4
    assert [run.info.status for n in range(4) for run in runs(tmp_path, str(n))] == ["FINISHED"] * 4
    with sqlite3.connect(database(tmp_path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.slow
def test_a_moved_repository_is_noticed_and_rebuilt(root: Path, tmp_path: Path) -> None:
    trained(root)
    evaluated(root, tmp_path)
    synchronize(root)
    moved = tmp_path / "moved"
    root.rename(moved)
    with pytest.raises(AssayError, match="--rebuild"):
        synchronize(moved)
    assert count(rebuild(moved, then=nothing), "created") == 1
    (run,) = runs(moved)
    assert curve(moved, run) == CURVE
    client = connect(moved).client
    assert [a.path for a in client.list_artifacts(run.info.run_id, "evaluate")] == ["evaluate/confusion.png"]
    assert run.info.artifact_uri == str(moved / f"mlruns/1/{run.info.run_id}/artifacts")
    folders = [path.name for path in (moved / "mlruns/1").iterdir()]
    assert folders == [run.info.run_id]  # nothing of the old store is left
    assert count(synchronize(moved), "unchanged") == 1


def test_rebuild_waits_for_nobody_but_says_who_is_running(root: Path) -> None:
    begin(root)
    with pytest.raises(AssayError, match=r"train-\w+ is running \(process \d+ on"):
        rebuild(root, then=nothing)


@pytest.mark.prove
def test_a_wiped_database_is_brought_back_by_a_replay(root: Path, empty_database: Path) -> None:
    trained(root)
    synchronize(root)
    shutil.copy(empty_database, database(root))
    for suffix in ("-wal", "-shm"):
        Path(f"{database(root)}{suffix}").unlink(missing_ok=True)
    code = (
        "import sys; from pathlib import Path; from src.tracking.sync import synchronize;"
        "synchronize(Path(sys.argv[1]))"
    )
    subprocess.run([sys.executable, "-c", code, str(root)], cwd=ROOT, check=True)
    client = connect(root).client
    assert len(client.search_runs([client.get_experiment_by_name("shapes").experiment_id])) == 1


def test_tracking_that_fails_says_so_once_and_stops_nothing(root: Path) -> None:
    database(root).write_bytes(b"this is no database" * 100)
    said: list[str] = []
    attempt = begin(root)
    tracker = Tracker(root, lineage_of("one"), said.append)
    tracker.start()
    for row in add_epochs(attempt, range(3)):
        tracker.epoch(row)
    tracker.finish()
    (message,) = said
    assert "python -m src.track" in message


@pytest.mark.slow
def test_the_command_brings_prints_and_frees(root: Path) -> None:
    trained(root)
    state = root / ".assay" / "state" / "train" / lineage_of("one")
    state.mkdir(parents=True)
    (state / "last.ckpt").write_bytes(bytes(2_000_000))

    def track(*arguments: str) -> str:
        command = [sys.executable, "-m", "src.track", *arguments]
        environment = {"DVC_ROOT": str(root), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    assert "1 created, 0 refreshed" in track()
    assert "2.0 MB" in track("--clean")
    assert (state / "last.ckpt").exists()
    assert "Removed 2.0 MB" in track("--clean", "--yes")
    assert not state.exists()
