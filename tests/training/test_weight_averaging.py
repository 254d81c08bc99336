"""Averages of the weights: of all steps, and of the last epochs."""

import pytest
import torch
from torch import nn

from src.config.schema.train import Train
from src.training.weight_averaging import (
    average_of,
    averages_epoch,
    mean_of_epochs,
    measure_statistics,
    moving_average,
)
from tests.support.training_tasks import section


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))


@torch.no_grad()
def change(inner: nn.Module) -> None:
    """Move each weight and each running statistic by one; count a batch."""
    for value in inner.state_dict().values():
        value.add_(1)


def test_every_step_is_the_formula():
    """average = d * average + (1 - d) * network, with d = min(decay, (1 + step) / (10 + step))."""
    inner = network()
    averaged = moving_average(inner, decay=0.15)
    expected = {name: value.clone() for name, value in inner.state_dict().items()}
    for step in range(4):
        change(inner)
        averaged.update_parameters(inner)
        d = min(0.15, (1 + step) / (10 + step))
        for name, value in inner.state_dict().items():
            average = torch.lerp(expected[name], value, 1 - d) if value.is_floating_point() else value
            expected[name] = average.clone()
    for name, value in averaged.module.state_dict().items():
        assert torch.equal(value, expected[name]), name


def test_the_first_step_forgets_nine_tenths_of_the_start():
    inner = network()
    averaged = moving_average(inner, decay=0.9999)
    start = averaged.module[0].weight.clone()
    with torch.no_grad():
        inner[0].weight.zero_()
    averaged.update_parameters(inner)
    torch.testing.assert_close(averaged.module[0].weight, start * 0.1)


def test_it_takes_no_gradient_and_leaves_the_network_alone():
    inner = network()
    averaged = moving_average(inner, decay=0.9)
    before = {name: value.clone() for name, value in inner.state_dict().items()}
    averaged.update_parameters(inner)
    assert not any(weight.requires_grad for weight in averaged.parameters())
    assert all(weight.requires_grad for weight in inner.parameters())
    assert all(torch.equal(value, before[name]) for name, value in inner.state_dict().items())


def train(**changes) -> Train:
    return Train.model_validate(section("train/default.yaml") | {"ema_decay": 0.0} | changes)


def test_mean_of_epochs_is_the_mean():
    inner = network()
    averaged, weights = mean_of_epochs(inner), []
    for _ in range(5):
        change(inner)
        weights.append(inner[0].weight.clone())
        averaged.update_parameters(inner)
    torch.testing.assert_close(averaged.module[0].weight, torch.stack(weights).mean(0))


@pytest.mark.parametrize(
    ("start", "epochs", "taken"),
    [(0.0, 4, []), (0.5, 4, [2, 3]), (0.6, 4, [3]), (0.9, 4, [3]), (0.75, 8, [6, 7]), (0.3, 1, [0])],
)
def test_epochs_that_are_averaged(start, epochs, taken):
    config = train(swa_start=start, epochs=epochs)
    assert [epoch for epoch in range(epochs) if averages_epoch(config, epoch)] == taken


def test_batch_norms_get_the_statistics_of_the_images():
    averaged = mean_of_epochs(network())
    averaged.update_parameters(network())
    torch.manual_seed(1)
    images = torch.rand(96, 1, 8, 8)
    measure_statistics(averaged, images.split(32))
    inner = averaged.module
    x = inner[0](images)
    torch.testing.assert_close(inner[1].running_mean, x.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    parts = torch.stack([part.var((0, 2, 3)) for part in x.split(32)])
    torch.testing.assert_close(inner[1].running_var, parts.mean(0), rtol=1e-4, atol=1e-5)
    assert inner[1].momentum == 0.1  # as before


def test_the_section_says_which_average():
    assert average_of(network(), train()) is None
    assert average_of(network(), train(ema_decay=0.9)).n_averaged == 1
    assert average_of(network(), train(swa_start=0.5)).n_averaged == 0
    with pytest.raises(ValueError, match=r"must be 0 with train\.ema_decay"):
        train(ema_decay=0.9, swa_start=0.5)
