"""``find_lr`` and ``find_batch_size``: what they suggest trains well."""

import shlex
from dataclasses import replace

import numpy as np
import psutil
import pytest
import torch

from src.core.errors import AssayError
from src.pipeline.measurement import command_with
from src.range_tests import batch_sizes
from src.range_tests.batch_sizes import BatchSpeed, StepClock, measure_batch_sizes, suggested_size
from src.range_tests.learning_rates import (
    FEWEST,
    HIGHEST,
    LOWEST,
    STEPS,
    RangeTest,
    RateSweep,
    draw_rates,
    range_test,
)
from src.range_tests.probe import ProbeEndedError, probe
from src.training.fit import fit
from tests.support.feature_models import feature_model
from tests.support.training_tasks import CROP, digits_task


def task_with(optimizer, **settings):
    train = {"epochs": 12, "precision": "fp32", "accumulate_grad_batches": 1}
    changes = {"model": {"widths": [8, 16]}, "augment": [CROP], "train": train} | settings
    return digits_task(images=1797, optimizer={"weight_decay": 0.0005} | optimizer, **changes)


def accuracy(optimizer, folder):
    return fit(task_with(optimizer), folder, device="cpu").best["val/accuracy"]


@pytest.mark.prove
@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_the_suggested_rate_trains_well_and_a_twentieth_of_it_does_not(tmp_path, name):
    found = range_test(task_with({"name": name}), "cpu").suggestion
    accuracies = {
        share: accuracy({"name": name, "lr": found * share}, tmp_path / str(share))
        for share in (1, 0.5, 2, 0.05)
    }
    assert accuracies[1] > 0.96
    assert accuracies[1] > max(accuracies[0.5], accuracies[2]) - 0.01  # neither is better beyond chance
    assert accuracies[1] > accuracies[0.05] + 0.03


@pytest.mark.slow
def test_rates_grow_by_a_factor_until_the_loss_explodes():
    found = range_test(task_with({}, model={"widths": [4], "batch_norm": False}), "cpu")
    steps = np.diff(np.log(found.rates))
    np.testing.assert_allclose(steps, np.log(HIGHEST / LOWEST) / (STEPS - 1))
    assert found.rates[0] == LOWEST and len(found.rates) == len(found.losses) <= STEPS
    assert min(found.losses) < found.losses[0]


def test_the_rate_of_the_sweep_is_the_rate_of_the_step():
    """The module sets its own before each step: with it the weights would move at once."""

    class Moves(RateSweep):
        def on_train_start(self, trainer, pl_module):
            self.before = [weight.detach().clone() for weight in pl_module.network.parameters()]

        def on_train_batch_end(self, trainer, pl_module, *arguments, **more):
            weights = pl_module.network.parameters()
            moved = max(
                float((a - b).detach().abs().max()) for a, b in zip(weights, self.before, strict=True)
            )
            assert moved < 2 * (len(self.rates) + 1) * LOWEST * 1.2 ** len(self.rates)
            super().on_train_batch_end(trainer, pl_module, *arguments, **more)

    sweep = Moves()
    probe(task_with({"name": "adam", "lr": 1.0, "weight_decay": 0.0}), sweep, 64, 5, "cpu")
    assert len(sweep.rates) == 5


def test_the_suggestion_is_a_quarter_of_the_rate_with_the_lowest_loss():
    assert RangeTest([0.1, 0.2, 0.4, 0.8], [2.0, 1.0, 0.5, 3.0]).suggestion == 0.1
    with pytest.raises(AssayError, match=r"does not fall .* to 0.8\. .*debug=overfit"):
        RangeTest([0.1, 0.2, 0.4, 0.8], [2.0, 1.95, 2.2, 3.0]).suggestion  # noqa: B018


def test_the_loss_is_smoothed_without_a_bias_to_zero():
    sweep = RateSweep()
    for loss in (2.0, 2.0, 1.0):
        sweep.on_train_batch_end(None, None, {"loss": torch.tensor(loss)}, None, 0)
    assert sweep.losses[:2] == pytest.approx([2.0, 2.0])
    assert 1.0 < sweep.losses[2] < 2.0


@pytest.mark.parametrize("end", [float("nan"), float("inf")])
def test_the_test_ends_at_a_loss_that_is_not_finite(end):
    """A GPU goes on after it; a CPU has ended the training before."""
    sweep = RateSweep()
    sweep.on_train_batch_end(None, None, {"loss": torch.tensor(2.0)}, None, 0)
    with pytest.raises(ProbeEndedError):
        sweep.on_train_batch_end(None, None, {"loss": torch.tensor(end)}, None, 1)
    assert sweep.losses == pytest.approx([2.0]) and len(sweep.rates) == 1


def test_the_test_ends_when_the_loss_explodes_but_not_at_once():
    sweep = RateSweep()
    with pytest.raises(ProbeEndedError):
        for step in range(STEPS):
            sweep.on_train_batch_end(None, None, {"loss": torch.tensor(10.0**step)}, None, step)
    assert len(sweep.rates) == FEWEST


def test_the_curve_is_drawn(tmp_path):
    path = draw_rates(tmp_path / "lr.png", RangeTest([0.1, 0.2, 0.4], [2.0, 1.0, 3.0]), 0.1)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_the_smallest_batch_that_is_nearly_as_fast_is_suggested():
    found = [BatchSpeed(16, 500.0), BatchSpeed(32, 910.0), BatchSpeed(64, 1000.0), BatchSpeed(128, 700.0)]
    assert suggested_size(found) == 32
    assert suggested_size(found[:1]) == 16
    with pytest.raises(AssayError, match="batch of 16 images does not fit"):
        suggested_size([])


@pytest.mark.slow
def test_batches_grow_while_an_epoch_has_ten_steps():
    task = task_with({}, model={"widths": [4]})
    assert len(task.train_rows) == 1540
    found = list(measure_batch_sizes(task, "cpu"))
    assert [each.size for each in found] == [16, 32, 64, 128]
    assert all(each.speed > 0 for each in found)


@pytest.mark.slow
def test_batches_stop_growing_before_memory_is_full(monkeypatch):
    """64 images leave half of it, so 128 would leave nothing."""

    def hungry(task, clock, size, *arguments):
        probe(task, clock, size, *arguments)
        clock.free = 900 - 7 * size

    monkeypatch.setattr(batch_sizes, "_free_memory", lambda: 900)
    monkeypatch.setattr(batch_sizes, "probe", hungry)
    found = measure_batch_sizes(task_with({}, model={"widths": [4]}), "cpu")
    assert [each.size for each in found] == [16, 32, 64]


def test_a_gpu_that_is_full_ends_it(monkeypatch):
    def full(self, *arguments, **more):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(StepClock, "on_train_batch_end", full)
    assert list(measure_batch_sizes(task_with({}, model={"widths": [4]}), "cpu")) == []


def test_free_memory_is_that_of_the_machine():
    assert 0 < batch_sizes._free_memory() <= psutil.virtual_memory().total


def test_a_model_that_is_fitted_has_nothing_to_find():
    task = replace(digits_task(), model=feature_model("knn"))
    with pytest.raises(AssayError, match="has no learning rate and no batch size"):
        next(measure_batch_sizes(task, "cpu"))


@pytest.mark.parametrize(
    ("overrides", "arguments"),
    [
        ([], []),
        (["model=lenet", "train.batch_size=8"], ["model=lenet"]),
        (["+sweep.space={a: 'choice(1, 2)'}"], ["+sweep.space={a: 'choice(1, 2)'}"]),
    ],
)
def test_the_command_to_run_next_has_the_overrides_that_were_given(overrides, arguments):
    command = command_with("find_lr", overrides, "train.batch_size=64")
    assert shlex.split(command) == ["python", "-m", "src.find_lr", *arguments, "train.batch_size=64"]
