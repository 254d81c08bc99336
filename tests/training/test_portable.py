"""A portable training: one thread whatever the machine has, and the hashes of its weights."""

import json
import os
import subprocess
import sys

import pytest
from pydantic import ValidationError

from src.core.hashing import file_hash
from src.core.portable import HELD
from src.models.saving import Input, ModelSpec, Normalization, save_model
from src.training.fit import fit
from tests.support.training_tasks import digits_task
from tests.support.workspaces import ROOT

TRAIN = """
import os, sys, json
os.sched_setaffinity(0, set(list(os.sched_getaffinity(0))[:int(sys.argv[1])]))
from src.core.portable import hold_to_avx2
hold_to_avx2()
from pathlib import Path
from src.training.fit import fit
from tests.support.training_tasks import digits_task
task = digits_task(images=200, train={"epochs": 2, "precision": "portable", "threads": "auto"})
trained = fit(task, Path(sys.argv[2]), device="cpu")
print(json.dumps([trained.hashes, trained.numerics]))
"""


def train(cores, state):
    kept = {name: value for name, value in os.environ.items() if name not in HELD}
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, str(cores), state], cwd=ROOT, env=kept, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.prove
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_the_number_of_cores_changes_nothing(tmp_path):
    hashes, numerics = train(1, tmp_path / "1")
    assert [hashes, numerics] == train(2, tmp_path / "2")
    assert len(set(hashes)) == 2  # every epoch changes the weights
    assert {**numerics, "torch": ""} == {
        "torch": "", "device": "cpu", "cpu": "AVX2", "threads": 1, "precision": "portable"
    }  # fmt: skip


def test_the_hash_of_the_kept_epoch_is_that_of_the_file(tmp_path):
    task = digits_task(images=150, train={"epochs": 3})
    trained = fit(task, tmp_path / "state", device="cpu")
    spec = ModelSpec(task.model, list("0123456789"), Input(1, 8, 8, "pad", 64), Normalization([0.3], [0.37]))
    save_model(tmp_path, trained.network, spec)
    assert trained.hashes[trained.best_epoch - 1] == file_hash(tmp_path / "model.safetensors")
    assert fit(task, tmp_path / "state", device="cpu").hashes == trained.hashes  # from the checkpoint


def test_optimizers_whose_roots_differ_by_cpu_are_refused():
    with pytest.raises(ValidationError, match=r"rmsprop, which differs by CPU or has not been compared"):
        digits_task(train={"precision": "portable"}, optimizer={"name": "rmsprop"})


def test_more_than_one_thread_is_refused():
    with pytest.raises(ValidationError, match=r"must be auto or 1 with train\.precision=portable, but got 2"):
        digits_task(train={"precision": "portable", "threads": 2})
