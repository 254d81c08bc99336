"""A portable training: one thread whatever the machine has, and the hashes of its weights."""

import hashlib
import json
import os
import subprocess
import sys

import pytest

from src.core.errors import AssayError
from src.core.portable import HELD
from src.models.numerics import computing, resolve_numerics
from src.models.saving import load_model
from src.training.history_csv import write_history
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


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_the_number_of_cores_changes_nothing(tmp_path):
    hashes, numerics = train(1, tmp_path / "1")
    assert [hashes, numerics] == train(2, tmp_path / "2")
    assert len(set(hashes)) == 2  # every epoch changes the weights
    assert {**numerics, "torch": ""} == {
        "torch": "", "device": "cpu", "cpu": "AVX2", "threads": 1, "precision": "portable"
    }  # fmt: skip


def test_a_process_that_is_not_held_computes_nothing_portable():
    train_section = digits_task(train={"precision": "portable", "threads": "auto"}).train
    code = "from src.models.held_libraries import check_held; check_held()"
    kept = {name: value for name, value in os.environ.items() if name not in HELD}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=kept, capture_output=True, text=True)
    assert "train.precision=portable cannot be kept here" in done.stderr
    assert train_section.precision == "portable"
