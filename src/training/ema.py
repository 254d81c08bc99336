"""Exponential moving average of the weights (Polyak & Juditsky, 1992) with torch's ``AveragedModel``."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def averaged_model(network: nn.Module, decay: float) -> AveragedModel:
    """A copy of ``network`` whose ``update_parameters(network)`` follows its weights; takes no gradient.

    average = d * average + (1 - d) * network, where d rises to ``decay`` as n / (9 + n) with the number n
    of networks averaged so far. The rise lets the average forget the random start. Running statistics of
    batch norms are averaged too, counters are copied.
    """
    averaged = AveragedModel(network, multi_avg_fn=partial(_update, decay), use_buffers=True)
    averaged.n_averaged.fill_(1)  # the initial weights are the first of the average
    return averaged.requires_grad_(False)


@torch.no_grad()
def _update(decay: float, averages: Any, values: Any, averaged: Tensor | int) -> None:
    """Update tensors of one type in place."""
    if not averages[0].is_floating_point():
        torch._foreach_copy_(averages, values)
        return
    n = int(averaged)
    torch._foreach_lerp_(averages, values, 1 - min(decay, n / (9 + n)))
