"""The long proofs, run by ``make prove``: the default digits, many seeds, and a series of kills."""

import json
import os
import random
import signal
import statistics
import time

import pytest
import yaml

from tests.support.workspaces import clone_working_tree

pytestmark = pytest.mark.prove

KILLS = 12
SEEDS = range(5)


def results(workspace):
    """What dvc.lock says of the stages whose bytes are a function of the inputs."""
    pipeline = yaml.safe_load((workspace / "dvc.yaml").read_text())["stages"]
    observed = {name for name, stage in pipeline.items() if stage.get("meta", {}).get("observation")}
    stages = yaml.safe_load((workspace / "dvc.lock").read_text())["stages"]
    return {name: stage["outs"] for name, stage in stages.items() if name not in observed}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    workspace = clone_working_tree(tmp_path_factory.mktemp("undisturbed") / "digits")
    begin = time.perf_counter()
    workspace.run("dvc", "repro")
    workspace.seconds = time.perf_counter() - begin
    return workspace


def test_the_default_digits_are_the_same_in_another_clone(undisturbed, tmp_path):
    other = undisturbed.clone(tmp_path / "other")
    other.run("dvc", "repro")
    assert results(other) == results(undisturbed)


def test_a_pipeline_killed_again_and_again_ends_with_the_same_bytes(undisturbed, tmp_path):
    """Each call gets a random share of the time that the whole takes; the last one ends by itself."""
    workspace, moments = undisturbed.clone(tmp_path / "killed"), random.Random(0)
    for _ in range(KILLS):
        process = workspace.start("dvc", "repro")
        time.sleep(moments.uniform(0.02, 0.5) * undisturbed.seconds)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    workspace.run("dvc", "repro")
    assert results(workspace) == results(undisturbed)


def test_the_digits_reach_their_accuracy_over_five_seeds(undisturbed, tmp_path):
    accuracies = []
    for seed in SEEDS:
        workspace = undisturbed.clone(tmp_path / f"seed-{seed}")
        workspace.compose(f"seed={seed}")
        workspace.run("dvc", "repro", "evaluate")
        metrics = json.loads((workspace / "reports/evaluate/metrics.json").read_text())
        accuracies.append(metrics["test"]["accuracy"]["value"])
    print(f"test accuracy over {len(accuracies)} seeds: {accuracies}, mean {statistics.mean(accuracies):.4f}")
    assert statistics.mean(accuracies) >= 0.985
