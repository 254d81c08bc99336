"""A training that is killed and started again equals one that was never stopped. Tolerance: none."""

import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from zipfile import ZipFile

import pytest
import torch

from src.config.schema.optimizers import OPTIMIZERS
from src.core.errors import AssayError
from src.core.hashing import hash_tree
from src.training.checkpoint import KEY, NAME, read_checkpoint
from src.training.fit import fit
from tests.support.training_tasks import (
    SETTINGS,
    digits_task,
    model_task,
    trained_names,
    write_outcome,
)
from tests.support.workspaces import ROOT

RATES = {"adadelta": 1.0, "larc": 0.1, "lars": 0.1, "nlarc": 0.1, "nlars": 0.1}  # others learn at 0.01
VICTIM = ROOT / "tests/support/killed_training.py"
THREE_EPOCHS = {"model": {"widths": [4]}, "train": {"epochs": 3}, "schedule": {"warmup": 0.0}}
TERMINATED = """
import os, signal, sys
from pathlib import Path
from src.training.fit import Watch, fit, pl
from tests.support.training_tasks import digits_task
from tests.training.test_resume import THREE_EPOCHS

class Terminate(pl.Callback):
    "SIGTERM in the second epoch, as a worker gets it after Ctrl-C."

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if (trainer.current_epoch, batch_idx) == (1, 1):
            os.kill(os.getpid(), signal.SIGTERM)

fit(digits_task(**THREE_EPOCHS), Path(sys.argv[1]), device="cpu", watch=Watch([Terminate()]))
"""


def run_victim(setting: str, state: Path, outcome: Path, *death: str) -> int:
    command = [sys.executable, str(VICTIM), setting, str(state), str(outcome), *death]
    return subprocess.run(command, capture_output=True, timeout=600).returncode


def outcome_of(path: Path) -> tuple[bytes, str]:
    return path.read_bytes(), path.with_suffix(".json").read_text()


# A batch reads images once: 600 rows make 9 batches, and 100 validation rows 2 more, so 11 an epoch.
@pytest.mark.prove
@pytest.mark.parametrize(
    ("setting", "deaths"),
    [
        ("averaging_plateau_stopping", [("read", "27"), ("save", "2")]),
        ("dropout_augmentation_one_cycle", [("read", "15")]),
        ("rmsprop_cosine_fp32", [("save", "1"), ("read", "43")]),
        ("gradual_unfreezing", [("read", "15"), ("save", "2")]),
        # 18 batches an epoch, 4 of validation, and with SWA another 18 for the batch norms from epoch 3 on
        ("swa_mixing_accumulation", [("read", "40"), ("read", "43"), ("save", "2")]),
        ("ema_accumulation_weights", [("read", "30"), ("save", "2")]),
    ],
)
def test_killed_training_ends_with_the_same_bytes(tmp_path, setting, deaths):
    whole = tmp_path / "whole.safetensors"
    write_outcome(whole, fit(digits_task(**SETTINGS[setting]), tmp_path / "whole", device="cpu"))
    broken = tmp_path / "broken.safetensors"
    for death in deaths:
        assert run_victim(setting, tmp_path / "broken", broken, *death) == -signal.SIGKILL
    assert not broken.exists()
    assert run_victim(setting, tmp_path / "broken", broken) == 0
    assert outcome_of(broken) == outcome_of(whole)


# 1,797 images make 29 batches of 64. A head that is trained also saves checkpoints.
@pytest.mark.prove
@pytest.mark.parametrize(
    ("setting", "deaths"),
    [
        ("head_on_features", [("read", "12"), ("store", "1"), ("mark", "1"), ("save", "2")]),
        ("fitted=linear_probe", [("read", "29"), ("store", "1"), ("mark", "1")]),
    ],
)
def test_a_kill_while_features_are_computed_changes_no_byte(tmp_path, setting, deaths):
    for folder in ("whole", "broken"):
        (tmp_path / folder).mkdir()
    whole, broken = (tmp_path / folder / "model.safetensors" for folder in ("whole", "broken"))
    assert run_victim(setting, whole.with_name("state"), whole) == 0
    for death in deaths:
        assert run_victim(setting, broken.with_name("state"), broken, *death) == -signal.SIGKILL
    assert not broken.exists()
    assert run_victim(setting, broken.with_name("state"), broken) == 0
    assert outcome_of(broken) == outcome_of(whole)
    kept = [hash_tree(each.with_name("features")) for each in (whole, broken)]
    assert kept[0] == kept[1] and len(kept[0]) == 3, "the features, their hash and a lock: no rest of a kill"


# 128 rows make 2 batches of 64, and 22 validation rows 1 more, so the second epoch begins at the 4th read.
@pytest.mark.prove
@pytest.mark.parametrize("name", trained_names())
def test_every_model_ends_with_the_same_bytes_after_a_kill(tmp_path, name):
    whole, broken = tmp_path / "whole.safetensors", tmp_path / "broken.safetensors"
    write_outcome(whole, fit(model_task(name), tmp_path / "whole", device="cpu"))
    run = f"model={name}", tmp_path / "broken", broken
    assert run_victim(*run, "read", "5") == -signal.SIGKILL
    assert (tmp_path / "broken" / NAME).is_file(), "the first epoch was not lost"
    assert run_victim(*run) == 0
    assert outcome_of(broken) == outcome_of(whole)


class StoppedError(Exception):
    """Ends a training as a signal would, but in this process."""


@pytest.mark.slow
@pytest.mark.parametrize("setting", ["swa_mixing_accumulation", "ema_accumulation_weights"])
def test_training_that_stops_after_every_epoch_ends_with_the_same_bytes(tmp_path, setting):
    task = digits_task(**SETTINGS[setting])
    whole = fit(task, tmp_path / "whole", device="cpu")

    def stop_after(epoch, row):
        if row["epoch"] == epoch:
            raise StoppedError

    for epoch in range(1, task.train.epochs):
        with pytest.raises(StoppedError):
            fit(task, tmp_path / "broken", device="cpu", on_epoch=partial(stop_after, epoch))
    broken = fit(task, tmp_path / "broken", device="cpu")
    write_outcome(tmp_path / "a", whole)
    write_outcome(tmp_path / "b", broken)
    assert outcome_of(tmp_path / "a") == outcome_of(tmp_path / "b")


@pytest.mark.prove
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_learns_and_resumes_with_the_same_bytes(tmp_path, name):
    task = digits_task(
        images=400,
        model={"widths": [4]},
        train={"epochs": 3, "precision": "fp32", "batch_size": 16},
        optimizer={"name": name, "lr": RATES.get(name, 0.01)},
        schedule={"warmup": 0.1},
    )
    whole = fit(task, tmp_path / "whole", device="cpu")
    assert whole.history[-1]["train/loss"] < whole.history[0]["train/loss"]

    def stop(row):
        if row["epoch"] == 2:
            raise StoppedError

    with pytest.raises(StoppedError):
        fit(task, tmp_path / "broken", device="cpu", on_epoch=stop)
    assert fit(task, tmp_path / "broken", device="cpu").hashes == whole.hashes


@pytest.mark.slow
def test_a_worker_that_is_terminated_is_silent_and_the_next_call_says_where_it_resumes(tmp_path):
    command = [sys.executable, "-c", TERMINATED, str(tmp_path / "broken")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (ended.stdout, ended.stderr) == ("", "")
    task, said = digits_task(**THREE_EPOCHS), []
    whole = fit(task, tmp_path / "whole", device="cpu", say=said.append)
    assert said == []
    resumed = fit(task, tmp_path / "broken", device="cpu", say=said.append)
    assert said == ["Resuming after epoch 1 of 3"]
    assert resumed.hashes == whole.hashes
    fit(task, tmp_path / "broken", device="cpu", say=said.append)  # it is finished
    assert len(said) == 1


def test_finished_training_is_read_and_not_repeated(tmp_path):
    task = digits_task(**SETTINGS["averaging_plateau_stopping"])
    first = fit(task, tmp_path, device="cpu")
    written = (tmp_path / NAME).stat().st_mtime_ns
    assert len(first.history) < task.train.epochs  # stopped early
    reported = []
    second = fit(task, tmp_path, device="cpu", on_epoch=reported.append)
    assert (tmp_path / NAME).stat().st_mtime_ns == written
    assert second.history == first.history == reported
    same = zip(first.network.state_dict().values(), second.network.state_dict().values(), strict=True)
    assert all(one.equal(other) for one, other in same)


def test_a_finished_training_is_taken_up_as_it_ended(tmp_path):
    """With its weights where they were in memory: an export tells the difference."""
    task = digits_task(model={"widths": [4, 8]}, train={"epochs": 1}, schedule={"warmup": 0.0})
    ended, taken_up = (fit(task, tmp_path, device="cpu").network.state_dict() for _ in range(2))
    assert all(torch.equal(ended[name], value) for name, value in taken_up.items())
    assert {name: value.stride() for name, value in ended.items()} == {
        name: value.stride() for name, value in taken_up.items()
    }


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        *((damage, "File is not a zip file") for damage in ("empty", "truncated", "noise")),
        ("flipped", "has another checksum"),
    ],
)
def test_damaged_checkpoint_is_refused_by_name(tmp_path, damage, reason):
    task = digits_task(model={"widths": [4]}, train={"epochs": 1}, schedule={"warmup": 0.0})
    fit(task, tmp_path, device="cpu")
    path = tmp_path / NAME
    whole = path.read_bytes()
    flipped = bytearray(whole)
    with ZipFile(path) as archive:
        largest = archive.read(max(archive.infolist(), key=lambda part: part.file_size))
    flipped[whole.index(largest) + len(largest) // 2] ^= 1
    content = {"empty": b"", "truncated": whole[:-500], "noise": b"\x00\x01" * 999, "flipped": bytes(flipped)}
    path.write_bytes(content[damage])
    with pytest.raises(AssayError, match=rf"last\.ckpt cannot be read \(BadZipFile: .*{reason}\): delete it"):
        fit(task, tmp_path, device="cpu")


def test_a_checkpoint_that_would_run_code_is_refused_and_runs_none(tmp_path):
    class Code:
        def __reduce__(self):
            return Path.touch, (tmp_path / "it ran",)

    torch.save({KEY: Code()}, tmp_path / NAME)
    with pytest.raises(AssayError, match=r"last\.ckpt cannot be read \(UnpicklingError: .*: delete it"):
        read_checkpoint(tmp_path, {})
    assert not (tmp_path / "it ran").exists()


def test_foreign_checkpoint_is_refused_with_what_differs(tmp_path):
    short = {"train": {"epochs": 1}, "schedule": {"warmup": 0.0}}
    fit(digits_task(**short, model={"widths": [4]}), tmp_path, device="cpu")
    other = digits_task(**short, model={"widths": [5]}, seed=1)
    with pytest.raises(AssayError, match=r"last\.ckpt belongs to another.* in model, seed: delete it"):
        fit(other, tmp_path, device="cpu")
