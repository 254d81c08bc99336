"""What only a GPU can show: fp16 with its gradient scaler, and the states of a training there."""

import pytest
import torch
from torch.nn import functional

from src.models.numerics import deterministic
from src.training.checkpoint import NAME
from src.training.fit import fit
from tests.support.training_tasks import SETTINGS, digits_task

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")]


class StoppedError(Exception):
    """Ends a training as a signal would, but in this process."""


def stop(row):
    if row["epoch"] == 2:
        raise StoppedError


def test_fp16_learns_and_resumes_with_the_same_bytes(tmp_path):
    task = digits_task(
        images=1797,
        model={"widths": [16, 32]},
        train={"epochs": 5, "precision": "fp16", "gradient_clip_val": 1.0},
        optimizer={"lr": 0.01},
    )
    whole = fit(task, tmp_path / "whole", device="cuda")
    assert whole.numerics["precision"] == "fp16"
    assert whole.best["val/accuracy"] > 0.9
    with pytest.raises(StoppedError):
        fit(task, tmp_path / "broken", device="cuda", on_epoch=stop)
    kept = torch.load(tmp_path / "broken" / NAME, weights_only=True)
    assert kept["MixedPrecision"]["scale"] > 1  # of the gradients
    assert fit(task, tmp_path / "broken", device="cuda").hashes == whole.hashes


def test_a_gradient_is_clipped_after_the_scaler_has_divided_it(tmp_path):
    """Otherwise the clipped gradient would be a thousandth of what it should be, and nothing would move."""
    settings = {"model": {"widths": [8]}, "optimizer": {"name": "sgd", "lr": 0.5, "weight_decay": 0.0}}
    losses = {}
    for precision in ("fp32", "fp16"):
        train = {"epochs": 3, "precision": precision, "gradient_clip_val": 0.1, "ema_decay": 0.0}
        task = digits_task(**settings, train=train)
        losses[precision] = fit(task, tmp_path / precision, device="cuda").history[-1]["train/loss"]
    assert losses["fp16"] == pytest.approx(losses["fp32"], rel=0.05)


@pytest.mark.parametrize("setting", ["swa_mixing_accumulation", "ema_accumulation_weights"])
def test_training_that_stops_ends_with_the_same_bytes(tmp_path, setting):
    task = digits_task(**SETTINGS[setting])
    whole = fit(task, tmp_path / "whole", device="cuda")
    with pytest.raises(StoppedError):
        fit(task, tmp_path / "broken", device="cuda", on_epoch=stop)
    assert fit(task, tmp_path / "broken", device="cuda").hashes == whole.hashes


def test_adaptive_pooling_has_a_deterministic_gradient():
    """AlexNet and VGG need it."""
    gradients = []
    for device in ("cpu", "cuda", "cuda"):
        images = torch.linspace(-1, 1, 8 * 3 * 7 * 7, device=device, requires_grad=True)
        with deterministic(1):
            functional.adaptive_avg_pool2d(images.reshape(8, 3, 7, 7), 6).square().sum().backward()
        gradients.append(images.grad.cpu())
    torch.testing.assert_close(gradients[1], gradients[0])
    assert gradients[1].equal(gradients[2])
