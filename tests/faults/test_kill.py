"""SIGKILL at any moment; the same command goes on to the same bytes."""

import os
import signal
import time

import pytest
import yaml

from src.core.files import write_json
from src.core.hashing import hash_tree
from src.provenance.journal import attempts
from tests.support.workspaces import Workspace

EPOCHS = 12
SETTINGS = (
    "experiment=tiny",
    "sweep=none",
    f"train.epochs={EPOCHS}",
    "train.ema_decay=0.9",
    "model.dropout=0.2",
)


@pytest.fixture(scope="module")
def longer(finished, tmp_path_factory):
    """A finished pipeline whose training is to be repeated with more epochs."""
    workspace = finished.copy(tmp_path_factory.mktemp("longer") / "copy")
    workspace.compose(*SETTINGS)
    workspace.run("dvc", "repro", "sweep")
    return workspace


@pytest.fixture
def prepared(longer, tmp_path):
    """A copy of it for one test."""
    return longer.copy(tmp_path / "prepared")


def epochs_so_far(workspace: Workspace, since: float) -> int:
    """Lines that journals of attempts after ``since`` hold."""
    journals = (workspace / ".assay/journal").glob("*/*/history.jsonl")
    return sum(len(path.read_text().splitlines()) for path in journals if path.stat().st_mtime > since)


def wait_for_epochs(workspace: Workspace, count: int, since: float) -> None:
    deadline = time.monotonic() + 120
    while epochs_so_far(workspace, since) < count:
        assert time.monotonic() < deadline, f"no {count} epochs within two minutes"
        time.sleep(0.01)


def locked(workspace: Workspace) -> dict:
    return yaml.safe_load((workspace / "dvc.lock").read_text())["stages"]["train"]


@pytest.fixture(scope="module")
def unbroken(longer, tmp_path_factory):
    """The training that nobody disturbed: hashes of its files."""
    workspace = longer.copy(tmp_path_factory.mktemp("unbroken") / "copy")
    workspace.run("python", "-m", "src.train")
    return hash_tree(workspace / "models/base")


def test_a_killed_training_goes_on_and_ends_with_the_same_bytes(prepared, unbroken):
    since = time.time()
    process = prepared.start("dvc", "repro", "train")
    wait_for_epochs(prepared, 3, since)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (prepared / "models/base").exists(), "DVC removes the outputs before it runs a stage"

    before = epochs_so_far(prepared, since)
    again = time.time()
    prepared.run("dvc", "repro", "train")
    assert hash_tree(prepared / "models/base") == unbroken
    assert 3 <= before < EPOCHS and epochs_so_far(prepared, again) >= EPOCHS - before


@pytest.mark.prove
def test_ctrl_c_ends_with_one_line_and_the_same_command_continues(prepared, unbroken):
    since = time.time()
    process = prepared.start("python", "-m", "src.train")
    wait_for_epochs(prepared, 3, since)
    os.killpg(process.pid, signal.SIGINT)
    out, _ = process.communicate()
    assert process.returncode == 130 and "Traceback" not in out
    assert out.splitlines()[-1] == "train interrupted. Finished work is kept: the same command continues"
    record = max((each.record for each in attempts(prepared.folder)), key=lambda record: record["started"])
    assert (record["stage"], record["status"]) == ("train", "KILLED")

    before, again = epochs_so_far(prepared, since), time.time()
    prepared.run("python", "-m", "src.train")
    assert hash_tree(prepared / "models/base") == unbroken
    assert 3 <= before < EPOCHS and epochs_so_far(prepared, again) >= EPOCHS - before


@pytest.mark.prove
def test_an_orphaned_stage_is_waited_for_and_named(prepared, unbroken):
    """Killing dvc leaves its stage running; the next dvc repro must not write beside it."""
    since = time.time()
    first = prepared.start("dvc", "repro", "train")
    wait_for_epochs(prepared, 1, since)
    orphan = max(attempts(prepared.folder), key=lambda attempt: attempt.record["started"]).record["process"]
    os.kill(orphan["pid"], signal.SIGSTOP)  # else it might be ready before the second has begun
    first.kill()
    first.wait()
    second = prepared.start("dvc", "repro", "train")
    lines = []
    while not any("waiting for process" in line for line in lines):
        lines.append(second.stdout.readline())
        assert lines[-1], f"it ended without waiting: {lines}"
    os.kill(orphan["pid"], signal.SIGCONT)
    rest, _ = second.communicate()
    first.communicate()
    assert f"waiting for process {orphan['pid']}" in lines[-1] and f"or: kill {orphan['pid']}" in lines[-1]
    assert "the other process has finished" in rest and second.returncode == 0
    assert hash_tree(prepared / "models/base") == unbroken
    assert "Data and pipelines are up to date" in prepared.run("dvc", "repro", "train").stdout


@pytest.mark.prove
def test_two_calls_side_by_side_do_not_disturb_each_other(prepared, unbroken):
    """DVC refuses the second, naming the process that is at work."""
    since = time.time()
    first = prepared.start("dvc", "repro", "train")
    wait_for_epochs(prepared, 1, since)
    second = prepared.run("dvc", "repro", "train", check=False)
    assert second.returncode != 0
    assert str(first.pid) in second.stderr and "blocked by" in second.stderr
    first.communicate()
    assert first.returncode == 0
    assert hash_tree(prepared / "models/base") == unbroken


@pytest.mark.prove
def test_work_that_was_finished_but_not_published_is_not_done_again(prepared, unbroken):
    since = time.time()
    prepared.run("python", "-m", "src.train")
    (state,) = (prepared / ".assay/state/train").glob("*/published.json")
    (prepared / "models/base").rename(state.parent / "build")
    state.unlink()
    write_json(state.parent / "finished.json", unbroken)
    trained = epochs_so_far(prepared, since)
    prepared.run("dvc", "repro", "train")
    assert epochs_so_far(prepared, since) == trained, "nothing was trained again"
    assert hash_tree(prepared / "models/base") == unbroken


@pytest.mark.prove
def test_a_forced_repetition_really_repeats(copy):
    before, again = hash_tree(copy / "models/base"), time.time()
    copy.run("dvc", "repro", "--force", "--single-item", "train")
    assert epochs_so_far(copy, again) == 2, "the epochs of experiment=tiny"
    assert hash_tree(copy / "models/base") == before
