"""A fold: nothing of the held-out images reaches its weights, and nothing of it is lost or done twice."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from src.core.errors import AssayError
from src.cross_validation.fold import read_fold, read_folds, run_fold
from src.cross_validation.fold_task import FoldTask
from src.data.dataset.statistics import channel_statistics
from src.provenance.journal import attempts
from src.training.subset_task import SharedDataset, make_task
from tests.support.training_tasks import digits, digits_task
from tests.support.workspaces import ROOT

VICTIM = ROOT / "tests/support/abandoned_fold.py"
IMAGES = 500


def fold_task(folder: Path, fold: int = 0, pixels=None, targets=None, **settings) -> FoldTask:
    """Five folds of some digits, two epochs of a tiny network with one thread."""
    images, labels = digits()
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "images.npy", (images if pixels is None else pixels)[:IMAGES])
    rows = np.arange(IMAGES)
    train = {"epochs": 4, "batch_size": 32} | settings.pop("train", {})
    base = digits_task(
        model={"widths": [8, 16]},
        train=train,
        optimizer={"name": "adamw", "lr": 0.01} | settings.pop("optimizer", {}),
        schedule={"warmup": 0.2},
    )
    return FoldTask(
        repeat=0,
        fold=fold,
        sample=SharedDataset(
            folder / "images.npy",
            (labels if targets is None else targets)[:IMAGES],
            [str(digit) for digit in range(10)],
            "standard",
        ),
        model=base.model,
        augment=base.augment,
        train=base.train,
        train_rows=rows[(rows % 5 != fold) & (rows % 7 > 0)],
        val_rows=rows[(rows % 5 != fold) & (rows % 7 == 0)],
        test_rows=rows[rows % 5 == fold],
        seed=1,
        settings={},
        state=folder / "state",
        batch_size=512,
        device="cpu",
        root=folder,
        record={"stage": "fold", "lineage": f"fold-{fold}", "tags": {}, "metrics": {}, "outputs": {}},
    )


def accuracy(result) -> float:
    return float((result.logits.argmax(axis=1) == result.targets).mean())


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The fold that nobody has tampered with."""
    task = fold_task(tmp_path_factory.mktemp("plain"))
    return task, run_fold(task)


def test_a_fold_learns_and_is_tested_on_its_own_images(plain):
    task, result = plain
    assert accuracy(result) > 0.6
    assert result.ids.tolist() == task.test_rows.tolist()
    assert (result.train_images, result.val_images) == (len(task.train_rows), len(task.val_rows))
    assert 1 <= result.epoch <= result.epochs == 4


def test_shuffled_labels_of_the_held_out_fold_change_no_weight_and_lower_its_accuracy_to_chance(
    plain, tmp_path
):
    targets = digits()[1].copy()
    held_out = plain[0].test_rows
    targets[held_out] = np.random.default_rng(0).permutation(targets[held_out])
    result = run_fold(fold_task(tmp_path, targets=targets))
    assert result.weights == plain[1].weights
    assert np.array_equal(result.logits, plain[1].logits)
    assert (result.epoch, result.shift, result.scale) == (plain[1].epoch, plain[1].shift, plain[1].scale)
    assert accuracy(result) < 0.25


def test_other_pixels_in_the_held_out_fold_change_no_weight_and_no_normalization(plain, tmp_path):
    pixels = digits()[0].copy()
    pixels[plain[0].test_rows] = 255 - pixels[plain[0].test_rows]
    result = run_fold(fold_task(tmp_path, pixels=pixels))
    assert result.weights == plain[1].weights
    assert (result.shift, result.scale) == (plain[1].shift, plain[1].scale)
    assert not np.array_equal(result.logits, plain[1].logits)


def test_shuffled_training_labels_do_change_the_weights(plain, tmp_path):
    """Or else the two tests above would prove nothing."""
    targets = digits()[1].copy()
    targets[plain[0].train_rows] = np.random.default_rng(0).permutation(targets[plain[0].train_rows])
    result = run_fold(fold_task(tmp_path, targets=targets, train={"epochs": 1}))
    assert result.weights != plain[1].weights


def test_each_fold_is_normalized_by_its_own_training_rows(tmp_path):
    shifts = []
    for fold in range(3):
        task = fold_task(tmp_path / str(fold), fold, train={"epochs": 1})
        training = make_task(
            task.sample, task.model, task.augment, task.train, task.train_rows, task.val_rows, task.seed
        )
        expected = channel_statistics(training.images, task.train_rows)
        assert training.shift == expected.mean.tolist()
        assert training.scale == expected.std.tolist()
        shifts.append(training.shift)
    assert shifts[0] != shifts[1] != shifts[2] != shifts[0]
    result = run_fold(fold_task(tmp_path / "0", train={"epochs": 1}))
    assert result.shift == shifts[0]


def test_a_finished_fold_is_read_and_not_repeated(tmp_path):
    task = fold_task(tmp_path, train={"epochs": 1})
    first = run_fold(task)
    written = task.outcome.stat().st_mtime_ns
    second = run_fold(task)
    assert task.outcome.stat().st_mtime_ns == written
    assert second.weights == first.weights and np.array_equal(second.logits, first.logits)
    (attempt,) = attempts(tmp_path)
    assert attempt.record["status"] == "FINISHED"
    assert attempt.record["metrics"]["cv/accuracy"] == accuracy(first)
    assert [row["epoch"] for row in attempt.history] == [1]
    assert not task.running.exists()


def test_a_fold_killed_between_its_record_and_its_file_ends_with_the_same_bytes(tmp_path):
    task = fold_task(tmp_path)
    run_fold(task)
    whole = task.outcome.read_bytes()
    task.outcome.unlink()
    run_fold(task)
    assert task.outcome.read_bytes() == whole
    first, second = attempts(tmp_path)
    assert first.record["outputs"] == second.record["outputs"]


def test_a_training_without_numbers_fails_by_name_and_is_in_the_journal(tmp_path):
    task = fold_task(tmp_path, fold=2, optimizer={"name": "sgd", "lr": 1e30})
    with pytest.raises(AssayError, match=r"^fold 2 of repeat 0: "):
        run_fold(task)
    (attempt,) = attempts(tmp_path)
    assert attempt.record["status"] == "FAILED"
    assert "lr" in attempt.record["reason"]
    assert not task.outcome.exists()


def test_a_damaged_file_is_refused_by_name(plain, tmp_path):
    whole = plain[0].outcome.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], b"x" * 100):
        path = tmp_path / "0-0.parquet"
        path.write_bytes(damaged)
        with pytest.raises(AssayError, match=r"0-0\.parquet cannot be read .* it is made again"):
            read_fold(path)


def test_folds_computed_in_different_ways_are_not_mixed(plain, tmp_path):
    other = fold_task(tmp_path, fold=1, train={"epochs": 1, "precision": "bf16"})
    precision = plain[1].numerics["precision"]
    if precision == "bf16":
        other = fold_task(tmp_path, fold=1, train={"epochs": 1, "precision": "fp32"})
    run_fold(other)
    with pytest.raises(AssayError, match=r"0-1\.parquet was computed with"):
        read_folds([plain[0].outcome, other.outcome])


@pytest.mark.prove
def test_a_worker_whose_parent_is_gone_ends_after_its_epoch(tmp_path):
    process = subprocess.Popen([sys.executable, str(VICTIM), str(tmp_path)], stdout=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob(".assay/journal/*/*/history.jsonl")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    (attempt,) = attempts(tmp_path)
    worker = psutil.Process(attempt.record["process"]["pid"])
    assert worker.ppid() == process.pid
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    worker.wait(timeout=60)
    assert attempt.record["status"] == "RUNNING", "nobody has closed it: it reads as killed"
    assert len(attempt.history) < 2000
    assert not list(tmp_path.glob("state/folds/*.parquet"))


def test_settings_of_a_search_are_kept_with_the_fold(tmp_path):
    task = dataclasses.replace(
        fold_task(tmp_path, train={"epochs": 1}), settings={"train.optimizer.lr": 0.01}
    )
    assert json.dumps(run_fold(task).settings) == '{"train.optimizer.lr": 0.01}'
