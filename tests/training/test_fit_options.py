"""What the settings of a training do to it, on the real digits."""

from functools import partial

import numpy as np
import pytest
import sklearn.metrics as reference
import torch
from torch.nn import functional

from src.core.errors import AssayError
from src.core.seeds import derive_seed
from src.data.loading.datamodule import ShuffledBatches
from src.models.build import build_model
from src.models.numerics import seed_torch
from src.training.fit import fit
from src.training.losses import l1_norm
from tests.support.training_tasks import digits_task

PLAIN = {  # a training without anything random but the order, so that a loop of a few lines equals it
    "model": {"widths": [4], "batch_norm": False},
    "optimizer": {"name": "sgd", "lr": 0.1, "weight_decay": 0.0, "momentum": 0.0},
    "schedule": {"name": "constant", "warmup": 0.0},
}
BASIC = {"ema_decay": 0.0, "label_smoothing": 0.0, "precision": "fp32", "monitor": "val/loss"}


def plain(**changes):
    return digits_task(**PLAIN, train=BASIC | changes)


def by_hand(task, groups_of_batches):
    """The weights after an epoch of SGD with the mean gradient of each group of batches."""
    seed_torch(derive_seed(task.seed, "weights"), torch.device("cpu"))
    network = build_model(task.model, 1, 10, (8, 8)).to(memory_format=torch.channels_last)
    batches = list(ShuffledBatches(task.train_rows, task.train.batch_size, task.seed))
    optimizer = torch.optim.SGD(network.parameters(), lr=task.train.optimizer.lr)
    for start in range(0, len(batches), groups_of_batches):
        group = batches[start : start + groups_of_batches]
        optimizer.zero_grad()
        for rows in group:
            x = (torch.from_numpy(task.images[rows]).float() / 255 - 0.3) / 0.37
            targets = torch.from_numpy(task.targets[rows])
            (functional.cross_entropy(network(x), targets) / len(group)).backward()
        optimizer.step()
    return network.state_dict(), len(batches)


def test_accumulated_gradients_are_the_mean_also_at_the_end_of_an_epoch(tmp_path):
    task = plain(epochs=1, batch_size=32, accumulate_grad_batches=5)
    expected, batches = by_hand(task, 5)
    assert batches % 5  # the last step has fewer batches
    found = fit(task, tmp_path, device="cpu").network.state_dict()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-6)


def test_accumulated_batches_equal_one_large_batch(tmp_path):
    """576 images in 18 batches of 32, two to a step, or in 9 of 64."""
    small = fit(plain(epochs=2, batch_size=32, accumulate_grad_batches=2), tmp_path / "a", device="cpu")
    large = fit(plain(epochs=2, batch_size=64), tmp_path / "b", device="cpu")
    for row, other in zip(small.history, large.history, strict=True):
        assert row["train/loss"] == pytest.approx(other["train/loss"], rel=1e-4)
        assert row["val/loss"] == pytest.approx(other["val/loss"], rel=1e-4)


def test_swa_keeps_the_mean_of_the_last_epochs(tmp_path):
    """Without batch norms it is the mean of the weights that a training without SWA has after them."""
    averaged = fit(plain(epochs=4, swa_start=0.5), tmp_path / "swa", device="cpu")
    weights = []
    for epochs in (3, 4):
        last = fit(plain(epochs=epochs), tmp_path / str(epochs), device="cpu")
        assert last.best_epoch == epochs  # so that its network is the last one's
        weights.append(last.network.state_dict())
    assert averaged.best_epoch == 4
    for name, value in averaged.network.state_dict().items():
        torch.testing.assert_close(value, (weights[0][name] + weights[1][name]) / 2, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_swa_measures_the_batch_norms_for_the_averaged_weights(tmp_path):
    """With those of the last epoch's weights, or of a new network, it would be far off."""
    settings = {"model": {"widths": [8, 16]}, "images": 1797}
    rates = {"optimizer": {"lr": 0.02}, "schedule": {"name": "constant", "warmup": 0.1}}
    task = digits_task(
        **settings, **rates, train=BASIC | {"epochs": 8, "swa_start": 0.5, "precision": "auto"}
    )
    history = fit(task, tmp_path, device="cpu").history
    assert history[-1]["val/accuracy"] > 0.95
    assert history[-1]["val/loss"] <= min(row["val/loss"] for row in history[:4])
    assert {row["lr"] for row in history[4:]} == {0.02}


def test_the_learning_rate_stays_while_epochs_are_averaged(tmp_path):
    settings = {"model": {"widths": [4]}, "schedule": {"name": "one_cycle", "warmup": 0.1}}
    task = digits_task(**settings, train=BASIC | {"epochs": 4, "swa_start": 0.5})
    rates = [row["lr"] for row in fit(task, tmp_path, device="cpu").history]
    assert rates[0] != rates[1] and rates[2] == rates[3] > 0.1 * max(rates)


@pytest.mark.slow
def test_l1_makes_weights_sparser(tmp_path):
    shares, norms = [], []
    for l1 in (0.0, 1e-3):
        task = digits_task(
            model={"widths": [8, 16]}, train={"epochs": 6, "l1": l1}, optimizer={"weight_decay": 0.0}
        )
        network = fit(task, tmp_path / str(l1), device="cpu").network
        weights = torch.cat([weight.flatten() for weight in network.parameters() if weight.ndim > 1])
        shares.append((weights.abs() < 1e-2).float().mean().item())
        norms.append(l1_norm(network).item())
    assert shares[1] > 2 * shares[0]
    assert norms[1] < 0.7 * norms[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["binary_cross_entropy", "mean_squared_error", "focal"])
def test_every_loss_learns(tmp_path, name):
    task = digits_task(
        images=1797,
        model={"widths": [8, 16]},
        train={"epochs": 6, "loss": {"name": name, "gamma": 2.0}},
        optimizer={"lr": 0.01},
    )
    assert fit(task, tmp_path, device="cpu").best["val/accuracy"] > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 0.4, "cutmix": 1.0}])
def test_mixed_images_still_teach(tmp_path, changes):
    settings = {"images": 1797, "model": {"widths": [8, 16]}, "optimizer": {"lr": 0.01}}
    mixed = fit(digits_task(**settings, train={"epochs": 6} | changes), tmp_path / "a", device="cpu")
    assert mixed.best["val/accuracy"] > 0.85
    assert mixed.history[-1]["train/loss"] > mixed.history[-1]["val/loss"]  # mixed targets are harder


def one_class(function, targets, probabilities):
    return function(targets == 8, probabilities.argmax(1) == 8, zero_division=0)


MONITORS = {
    "val/balanced_accuracy": lambda t, p: reference.balanced_accuracy_score(t, p.argmax(1)),
    "val/f1_macro": lambda t, p: reference.f1_score(t, p.argmax(1), average="macro", zero_division=0),
    "val/roc_auc": lambda t, p: reference.roc_auc_score(t, p, multi_class="ovr"),
    "val/log_loss": lambda t, p: reference.log_loss(t, p, labels=range(10)),
    "val/recall_min": lambda t, p: reference.recall_score(t, p.argmax(1), average=None).min(),
    "val/recall/8": partial(one_class, reference.recall_score),
    "val/precision/8": partial(one_class, reference.precision_score),
    "val/f1/8": partial(one_class, reference.f1_score),
}


@pytest.mark.slow
@pytest.mark.parametrize("monitor", MONITORS)
def test_every_metric_can_be_monitored(tmp_path, monitor):
    """The kept epoch is the best by it, and the value is scikit-learn's."""
    train = {"epochs": 3, "batch_size": 32, "monitor": monitor}
    task = digits_task(images=1797, model={"widths": [8]}, train=train, optimizer={"lr": 0.01})
    fitted = fit(task, tmp_path, device="cpu")
    values = [row[monitor] for row in fitted.history]
    assert fitted.best[monitor] == (min(values) if monitor == "val/log_loss" else max(values))
    assert list(fitted.history[0]) == ["epoch", "train/loss", "val/loss", "val/accuracy", monitor, "lr"]
    x = (torch.from_numpy(task.images[task.val_rows]).float() / 255 - 0.3) / 0.37
    with torch.inference_mode():
        probabilities = fitted.network(x).double().softmax(1).numpy()
    expected = MONITORS[monitor](task.targets[task.val_rows], probabilities)
    assert fitted.best[monitor] == pytest.approx(expected, rel=1e-5)


def test_metrics_of_one_class_need_the_class(tmp_path):
    task = digits_task(train={"monitor": "val/recall/eight"})
    with pytest.raises(AssayError, match=r"val/recall/eight: no class is called eight; the classes are 0, 1"):
        fit(task, tmp_path, device="cpu")
    task = digits_task(train={"monitor": "val/recall/8"})
    task.targets[task.val_rows] = np.where(task.targets[task.val_rows] == 8, 3, task.targets[task.val_rows])
    with pytest.raises(AssayError, match=r"val/recall/8: the validation split has no image of the class"):
        fit(task, tmp_path, device="cpu")


def test_fp16_is_refused_on_a_cpu(tmp_path):
    with pytest.raises(AssayError, match=r"precision=fp16 needs a GPU.*precision=bf16"):
        fit(digits_task(train={"precision": "fp16"}), tmp_path, device="cpu")
