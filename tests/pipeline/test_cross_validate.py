"""The stage as a process: SIGKILL at random moments, one worker or two, and what the reader gets."""

import json
import os
import random
import signal
import time

import pytest

from src.core.hashing import hash_tree
from src.provenance.journal import attempts
from tests.support.workspaces import Workspace

pytestmark = pytest.mark.prove

EPOCHS, FOLDS = 12, 5
SETTINGS = (
    "experiment=tiny",
    f"+cross_validate.proxy={{train.epochs: {EPOCHS}, train.optimizer.lr: 0.01}}",  # enough to learn by
)
REPORT = "reports/cross_validate"


def fold_attempts(workspace: Workspace, since: float) -> list:
    """Journal entries of folds that began after ``since``, oldest first for each fold."""
    new = (attempt for attempt in attempts(workspace.folder) if attempt.folder.stat().st_ctime > since)
    return [attempt for attempt in new if attempt.record["stage"] == "fold"]


def finished_folds(workspace: Workspace, since: float) -> dict[str, int]:
    """Time stamps of the files of folds that were finished after ``since``."""
    found = (workspace / ".assay/state/cross_validate").glob("*/folds/*.parquet")
    times = {path.name: path.stat().st_mtime_ns for path in found}
    return {name: time for name, time in times.items() if time > since * 1e9}


@pytest.fixture(scope="module")
def unbroken(finished, tmp_path_factory):
    """The cross-validation that nobody disturbed, in one worker process."""
    workspace = finished.copy(tmp_path_factory.mktemp("unbroken") / "copy")
    workspace.compose(*SETTINGS, "cross_validate.n_jobs=1")
    workspace.summary = workspace.run("python", "-m", "src.cross_validate").stdout
    return workspace


def test_killed_three_times_and_with_two_workers_it_ends_with_the_same_bytes(copy, unbroken):
    copy.compose(*SETTINGS, "cross_validate.n_jobs=2")
    begin, kept = time.time(), {}
    for alone in (False, False, True):
        since, moment = time.time(), random.randint(1, 12)
        print(f"to be killed after {moment} epochs, {'alone' if alone else 'with its workers'}")
        process = copy.start("python", "-m", "src.cross_validate")
        while sum(len(attempt.history) for attempt in fold_attempts(copy, since)) < moment:
            assert process.poll() is None, process.stdout.read()
            time.sleep(0.01)
        (os.kill if alone else os.killpg)(process.pid, signal.SIGKILL)
        process.wait()
        kept |= finished_folds(copy, begin)
    copy.run("python", "-m", "src.cross_validate")
    assert hash_tree(copy / REPORT) == hash_tree(unbroken / REPORT)
    now = finished_folds(copy, begin)
    assert len(now) == FOLDS
    assert {name: now[name] for name in kept} == kept, "a finished fold is not done again"
    closed = [attempt for attempt in fold_attempts(copy, begin) if attempt.record["status"] == "FINISHED"]
    assert len({attempt.record["lineage"] for attempt in closed}) == FOLDS
    assert not list((copy / ".assay/state/cross_validate").glob("*/running/*/"))


def test_what_the_reader_gets(unbroken):
    metrics = json.loads((unbroken / REPORT / "metrics.json").read_text())
    assert (metrics["folds"], metrics["repeats"], metrics["images"]) == (FOLDS, 1, 1438)
    assert metrics["selection"] == "non-nested"
    accuracy = metrics["cv"]["accuracy"]
    assert accuracy["corrected_low"] < accuracy["low"] < accuracy["value"] < accuracy["high"]
    assert accuracy["out_of_fold"] > 0.5
    assert "selection: non-nested" in unbroken.summary
    assert f"{FOLDS} folds, 1 at a time" in unbroken.summary
    lines = (unbroken / REPORT / "folds.csv").read_text().splitlines()
    assert len(lines) == 1 + FOLDS


def test_each_fold_has_its_record_below_that_of_the_stage(unbroken):
    records = [attempt.record for attempt in attempts(unbroken.folder)]
    parents = [record for record in records if record["stage"] == "cross_validate"]
    parent = max(parents, key=lambda record: record["started"])
    folds = [record for record in records if record.get("parent") == parent["lineage"]]
    assert sorted(record["name"] for record in folds) == [f"fold-0-{fold}" for fold in range(FOLDS)]
    assert {record["status"] for record in folds} == {"FINISHED"}
    mean = sum(record["metrics"]["cv/accuracy"] for record in folds) / FOLDS
    assert parent["metrics"]["cv/accuracy"] == pytest.approx(mean)
    assert parent["tags"]["selection"] == "non-nested"
    assert all(record["params"]["train.epochs"] == EPOCHS for record in folds)


def test_a_training_that_cannot_be_done_fails_the_stage_with_its_reason(copy):
    proxy = "+cross_validate.proxy={train.optimizer.name: sgd, train.optimizer.lr: 1e30}"
    copy.compose("experiment=tiny", proxy)
    done = copy.run("python", "-m", "src.cross_validate", check=False)
    assert done.returncode == 1
    assert "cross_validate failed: fold " in done.stderr and "of repeat 0: " in done.stderr
    assert "Traceback" not in done.stderr
    failed = [attempt.record for attempt in attempts(copy.folder) if attempt.record["status"] == "FAILED"]
    assert {"fold", "cross_validate"} == {record["stage"] for record in failed}
