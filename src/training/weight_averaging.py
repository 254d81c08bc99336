"""Averaged weights, with torch's ``AveragedModel``: of all steps (EMA), or of the last epochs (SWA)."""

from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, update_bn

from src.config.schema.train import Train


def average_of(network: nn.Module, train: Train) -> AveragedModel | None:
    """A copy of ``network`` that follows it as ``train`` says; None if it says nothing."""
    if train.ema_decay:
        return moving_average(network, train.ema_decay)
    return mean_of_epochs(network) if train.swa_start else None


def moving_average(network: nn.Module, decay: float) -> AveragedModel:
    """A copy of ``network`` whose ``update_parameters(network)`` follows its weights; takes no gradient.

    Polyak and Juditsky, 1992: average = d * average + (1 - d) * network, where d rises to ``decay`` as
    n / (9 + n) with the number n of networks averaged so far. The rise lets the average forget the random
    start. Running statistics of batch norms are averaged too, counters are copied.
    """
    averaged = AveragedModel(network, multi_avg_fn=partial(_update, decay), use_buffers=True)
    averaged.n_averaged.fill_(1)  # the initial weights are the first of the average
    return averaged.requires_grad_(False)


def mean_of_epochs(network: nn.Module) -> AveragedModel:
    """A copy of ``network`` that ``update_parameters(network)`` makes the mean of the networks it was given.

    Stochastic weight averaging (Izmailov et al., 2018). Its batch norms need :func:`measure_statistics`.
    """
    return AveragedModel(network).requires_grad_(False)


def averages_epoch(train: Train, epoch: int) -> bool:
    """Whether SWA takes the weights after this epoch (0 is the first); it always takes the last one's."""
    return bool(train.swa_start) and (epoch >= train.swa_start * train.epochs or epoch + 1 == train.epochs)


@torch.no_grad()
def measure_statistics(averaged: AveragedModel, batches: Iterable[Tensor]) -> None:
    """Running statistics of the batch norms from these images, (B, C, H, W) each, as a network takes them."""
    update_bn(batches, averaged.module)


@torch.no_grad()
def _update(decay: float, averages: Any, values: Any, averaged: Tensor | int) -> None:
    """Update tensors of one type in place."""
    if not averages[0].is_floating_point():
        torch._foreach_copy_(averages, values)
        return
    n = int(averaged)
    torch._foreach_lerp_(averages, values, 1 - min(decay, n / (9 + n)))
