"""Whole trainings on real digits."""

import warnings

import pytest
import torch

from src.core.errors import AssayError
from src.models.normalization import NormalizedModel
from src.training.checkpoint import NAME
from src.training.fit import fit
from tests.support.training_tasks import CROP, digits_task

SMALL = {"model": {"widths": [8, 16]}, "augment": [CROP]}
ALL = {**SMALL, "images": 1797}  # enough to learn from


def weights(fitted) -> list[torch.Tensor]:
    return list(fitted.network.state_dict().values())


def equal(one, other) -> bool:
    return all(a.equal(b) for a, b in zip(weights(one), weights(other), strict=True))


def test_learns_digits_quietly(tmp_path, capfd):
    task = digits_task(**ALL, train={"epochs": 9}, schedule={"warmup": 0.11})
    reported = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted = fit(task, tmp_path, device="cpu", on_epoch=reported.append)
    assert capfd.readouterr() == ("", "")
    assert fitted.best["val/accuracy"] > 0.9
    assert fitted.best["val/accuracy"] == max(row["val/accuracy"] for row in fitted.history)
    assert reported == fitted.history
    assert [row["epoch"] for row in reported] == list(range(1, 10))
    assert list(reported[0]) == ["epoch", "train/loss", "val/loss", "val/accuracy", "lr"]
    assert not fitted.network.training


def test_returned_weights_are_those_of_the_best_epoch(tmp_path):
    task = digits_task(**SMALL, train={"epochs": 6, "precision": "fp32"}, schedule={"warmup": 0.17})
    fitted = fit(task, tmp_path, device="cpu")
    x = (torch.from_numpy(task.images[task.val_rows]).float() / 255 - 0.3) / 0.37
    with torch.inference_mode():
        found = fitted.network(x).argmax(1).numpy()
    assert (found == task.targets[task.val_rows]).mean() == pytest.approx(fitted.best["val/accuracy"])


def test_same_task_same_bytes_whatever_ran_before(tmp_path):
    task = digits_task(**SMALL, train={"epochs": 2}, schedule={"warmup": 0.0})
    first = fit(task, tmp_path / "a", device="cpu")
    torch.manual_seed(12345)
    torch.rand(17)
    assert equal(first, fit(task, tmp_path / "b", device="cpu"))
    other = digits_task(**SMALL, seed=1, train={"epochs": 2}, schedule={"warmup": 0.0})
    assert not equal(first, fit(other, tmp_path / "c", device="cpu"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "rmsprop"])
def test_every_optimizer_learns(tmp_path, name):
    lr = {"sgd": 0.1, "rmsprop": 0.002}.get(name, 0.01)
    task = digits_task(
        **ALL,
        train={"epochs": 4, "gradient_clip_val": 1.0, "label_smoothing": 0.0},
        optimizer={"name": name, "lr": lr},
        schedule={"name": "cosine", "warmup": 0.25},
    )
    fitted = fit(task, tmp_path, device="cpu")
    assert fitted.best["val/accuracy"] > 0.8


def test_more_images_to_a_batch_than_there_are(tmp_path):
    task = digits_task(images=60, **SMALL, train={"epochs": 2}, schedule={"warmup": 0.0})
    assert len(fit(task, tmp_path, device="cpu").history) == 2


@pytest.mark.slow
def test_early_stopping_and_plateau(tmp_path):
    task = digits_task(
        **SMALL,
        train={"epochs": 30, "patience": 3, "batch_size": 16, "monitor": "val/loss"},
        optimizer={"lr": 0.03},
        schedule={"name": "plateau", "patience": 1, "warmup": 0.0, "gamma": 0.5},
    )
    fitted = fit(task, tmp_path, device="cpu")
    assert len(fitted.history) == fitted.best_epoch + 3 < 30
    assert fitted.history[-1]["lr"] < 0.03


DIVERGING = {
    "model": {"widths": [8], "batch_norm": False},
    "optimizer": {"name": "sgd", "lr": 300.0},
    "schedule": {"name": "cosine", "warmup": 0.99},
}


def test_diverging_loss_names_epoch_step_and_fix_and_keeps_the_last_good_state(tmp_path):
    task = digits_task(**DIVERGING, train={"epochs": 8, "precision": "fp32"})
    reported = []
    with pytest.raises(AssayError, match=r"diverged in epoch \d+: .* step \d+") as caught:
        fit(task, tmp_path, device="cpu", on_epoch=reported.append)
    message = str(caught.value)
    assert "train.optimizer.lr=300" in message and "train.gradient_clip_val" in message
    assert f"in epoch {len(reported) + 1}" in message
    assert reported, "the first epoch should end well"
    kept = torch.load(tmp_path / NAME, weights_only=True)
    assert kept["assay"]["history"] == reported
    assert all(value.isfinite().all() for value in kept["assay"]["best"].values())


def test_diverging_in_the_first_epoch(tmp_path):
    broken = DIVERGING | {"optimizer": {"name": "sgd", "lr": 1e30}}
    with pytest.raises(AssayError, match=r"diverged in epoch 1: .*no epoch was finished"):
        fit(digits_task(**broken, train={"epochs": 8}), tmp_path, device="cpu")
    assert not (tmp_path / NAME).exists()


def test_single_images_are_refused_before_the_first_step(tmp_path):
    task = digits_task(model={"widths": [8, 16, 32]}, train={"batch_size": 1, "epochs": 1})
    started = []
    with pytest.raises(AssayError, match=r"train\.batch_size=1 leaves a batch norm"):
        fit(task, tmp_path, device="cpu", on_start=started.append)
    assert not started


def test_validation_is_computed_in_fp32_whatever_the_precision_of_the_training(tmp_path):
    task = digits_task(**SMALL, train={"epochs": 1, "precision": "bf16"})
    fitted = fit(task, tmp_path, device="cpu")
    assert fitted.numerics["precision"] == "bf16"
    model = NormalizedModel(fitted.network, task.shift, task.scale).eval()
    with torch.inference_mode():
        logits = model(torch.from_numpy(task.images[task.val_rows]))
    targets = torch.from_numpy(task.targets[task.val_rows])
    loss = torch.nn.functional.cross_entropy(logits.double(), targets).item()
    assert fitted.best["val/loss"] == pytest.approx(loss, rel=1e-6)
    assert fitted.best["val/accuracy"] == (logits.argmax(1) == targets).double().mean().item()
