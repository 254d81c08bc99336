"""Searches as real processes: killed, repeated, with one worker and with two, with trials that fail."""

import csv
import os
import random
import signal
import time
from datetime import UTC, datetime

import mlflow
import psutil
import pytest
import yaml

from src.core.hashing import hash_tree
from src.provenance.journal import attempts
from tests.support.workspaces import Workspace

TRIALS, EPOCHS = 6, 3
SETTINGS = (
    "experiment=tiny",
    f"sweep.trials={TRIALS}",
    f"sweep.proxy={{train.epochs:{EPOCHS},train.schedule.warmup:0.0}}",
)
WILD = "sweep.space={train.optimizer.lr:'choice(0.004,1e30,0.002)'}"  # the second diverges at once


def rows(workspace: Workspace, place: str = "sweep") -> list[dict[str, str]]:
    with (workspace / place / "trials.csv").open() as file:
        return list(csv.DictReader(file))


def runs(workspace: Workspace) -> list[dict[str, str]]:
    """All MLflow runs: their tags, with name and status."""
    client = mlflow.MlflowClient(f"sqlite:///{workspace / 'mlflow.db'}")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return [
        {**run.data.tags, "name": run.info.run_name, "status": run.info.status}
        for run in client.search_runs(experiments, max_results=5000)
    ]


def trial_runs(workspace: Workspace, lineage: str) -> list[dict[str, str]]:
    """The MLflow runs of a search's trials."""
    return [run for run in runs(workspace) if run.get("lineage.parent") == lineage]


def sweep_lineage(workspace: Workspace) -> str:
    """Of the newest search."""
    searches = [
        attempt.record for attempt in attempts(workspace.folder) if attempt.record["stage"] == "sweep"
    ]
    return max(searches, key=lambda record: record["started"])["lineage"]


def epochs_of(workspace: Workspace, since: float) -> int:
    """Epochs that trials have journaled after ``since``."""
    paths = (workspace / ".assay/journal").glob("*/*/history.jsonl")
    return sum(len(path.read_text().splitlines()) for path in paths if path.stat().st_mtime > since)


@pytest.fixture
def prepared(copy):
    """A finished pipeline with a longer search to come."""
    copy.compose(*SETTINGS)
    return copy


@pytest.fixture
def tracked(prepared):
    """The same, with an MLflow store that knows where it lies now."""
    prepared.run("python", "-m", "src.track", "--rebuild")
    return prepared


@pytest.fixture(scope="module")
def unbroken(finished, tmp_path_factory):
    """The search that nobody disturbed, with one worker: hashes of its files."""
    workspace = finished.copy(tmp_path_factory.mktemp("unbroken") / "copy")
    workspace.compose(*SETTINGS)
    workspace.run("python", "-m", "src.sweep")
    return hash_tree(workspace / "sweep")


@pytest.mark.prove
def test_two_workers_find_the_same_bytes_as_one_and_all_trials_are_tracked(tracked, unbroken):
    tracked.compose(*SETTINGS, "sweep.n_jobs=2")
    tracked.run("python", "-m", "src.sweep")
    assert hash_tree(tracked / "sweep") == unbroken
    assert {"best.yaml", "trials.csv", "importance.csv", "history.png", "parallel.png", "slices.png"} == set(
        unbroken
    )
    children = trial_runs(tracked, sweep_lineage(tracked))
    assert sorted(run["name"] for run in children) == [f"trial-{number:03d}" for number in range(TRIALS)]
    assert {run["status"] for run in children} == {"FINISHED"}
    assert {run["trial.state"] for run in children} <= {"complete", "pruned"}
    (best,) = [run for run in children if run.get("best") == "true"]
    assert yaml.safe_load((tracked / "sweep/best.yaml").read_text()), "it has settings"
    assert rows(tracked)[int(best["trial.number"])]["state"] == "complete"


@pytest.mark.prove
def test_a_search_killed_at_random_moments_loses_nothing(tracked, unbroken):
    """Kills of the whole process group, at random shares of the epochs that are still to be trained."""
    tracked.compose(*SETTINGS, "sweep.n_jobs=2")
    since, moments = time.time(), random.Random(3)
    trained: list[int] = []
    kept: set[str] = set()
    while len(trained) < 3 or not kept:
        goal = epochs_of(tracked, since) + moments.randint(1, EPOCHS + 1 + len(trained))
        process = tracked.start("python", "-m", "src.sweep")
        while process.poll() is None and epochs_of(tracked, since) < goal:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        trained.append(epochs_of(tracked, since))
        lineage = sweep_lineage(tracked)
        kept = {path.stem for path in (tracked / f".assay/state/sweep/{lineage}/trials").glob("*.json")}
    assert 0 < trained[0] < trained[-1] < 2 * TRIALS * EPOCHS
    again = datetime.now(UTC)
    tracked.run("python", "-m", "src.sweep")
    assert hash_tree(tracked / "sweep") == unbroken
    assert len(rows(tracked)) == TRIALS, "the total asked for is reached"
    repeated = {
        f"{int(attempt.record['tags']['trial.number']):05d}"
        for attempt in attempts(tracked.folder)
        if attempt.record.get("parent") == lineage
        and datetime.fromisoformat(attempt.record["started"]) > again
    }
    assert repeated, "the search was not over"
    assert not repeated & kept, "a finished trial ran again"
    children = trial_runs(tracked, lineage)
    assert sorted(run["name"] for run in children) == [f"trial-{number:03d}" for number in range(TRIALS)]
    assert {run["status"] for run in runs(tracked)} <= {"FINISHED", "FAILED"}, "nothing is left running"


@pytest.mark.prove
def test_a_worker_that_is_killed_costs_nothing_but_time(prepared, unbroken):
    since = time.time()
    process = prepared.start("python", "-m", "src.sweep")
    while epochs_of(prepared, since) < 2:
        time.sleep(0.01)
        assert process.poll() is None
    workers = [
        child for child in psutil.Process(process.pid).children() if "spawn_main" in " ".join(child.cmdline())
    ]
    assert len(workers) == 1
    workers[0].kill()
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert hash_tree(prepared / "sweep") == unbroken


@pytest.mark.prove
def test_a_trial_that_diverges_has_failed_and_the_search_goes_on(tracked):
    tracked.compose(*SETTINGS, WILD)
    tracked.run("python", "-m", "src.sweep")
    failed = [row for row in rows(tracked) if row["state"] == "failed"]
    assert failed and len(rows(tracked)) == TRIALS
    assert all(float(row["train.optimizer.lr"]) == 1e30 and "diverged" in row["reason"] for row in failed)
    children = {run["trial.number"]: run for run in trial_runs(tracked, sweep_lineage(tracked))}
    assert len(children) == TRIALS
    for row in failed:
        assert children[row["number"]]["status"] == "FAILED"
        assert "diverged" in children[row["number"]]["status.reason"]


@pytest.mark.prove
def test_a_search_by_hand_chooses_whole_groups_and_is_adopted(copy):
    groups = "model:'choice(cnn,lenet)',model.activation:'choice(relu)',model.kernel_size:'choice(1,3)'"
    done = copy.run(
        *("python", "-m", "src.sweep", "experiment=tiny", "sweep=random", f"+sweep.space={{{groups}}}"),
        *("sweep.study=kinds", "sweep.trials=5", "sweep.batch=5", "sweep.max_failures=5", "--adopt"),
    )
    (place,) = (copy / "outputs/sweep").iterdir()
    found = yaml.safe_load((place / "best.yaml").read_text())
    assert found["model"] in ("cnn", "lenet")
    assert "conf/experiment/kinds.yaml" in done.stdout
    copy.compose("experiment=kinds")
    params = yaml.safe_load((copy / "params.yaml").read_text())
    assert params["model"]["kind"] == found["model"]
    assert params["model"]["activation"] == found["model.activation"]
    assert params["sweep"]["method"] == "none"


@pytest.mark.prove
def test_the_training_says_and_uses_what_was_found(copy):
    """The tiny pipeline has a search of its own."""
    found = yaml.safe_load((copy / "sweep/best.yaml").read_text())
    done = copy.run("python", "-m", "src.train")
    for field, value in found.items():
        assert f"sweep/best.yaml: {field}={value:.4g}" in done.stdout
    trainings = [attempt.record for attempt in attempts(copy.folder) if attempt.record["stage"] == "train"]
    assert {field: trainings[-1]["params"][field] for field in found} == found
