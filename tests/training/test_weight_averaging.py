"""The moving average of the weights."""

import torch
from torch import nn

from src.training.weight_averaging import moving_average


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
