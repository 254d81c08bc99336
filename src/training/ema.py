"""Exponential moving average of weights (Polyak & Juditsky, 1992)."""

import copy

import torch
from torch import nn


def averaged_copy(network: nn.Module) -> nn.Module:
    """A copy of the network that takes no gradient, to be kept up by ``update_ema``."""
    return copy.deepcopy(network).requires_grad_(False)


@torch.no_grad()
def update_ema(average: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """average = d * average + (1 - d) * network, where d rises to ``decay`` as (1 + step) / (10 + step).

    The rise lets the average forget the random start. Running statistics of norms are averaged too,
    counters are copied.
    """
    d = min(decay, (1 + step) / (10 + step))
    pairs = list(zip(average.state_dict().values(), network.state_dict().values(), strict=True))
    moving = [(mean, value) for mean, value in pairs if mean.is_floating_point()]
    torch._foreach_lerp_([mean for mean, _ in moving], [value for _, value in moving], 1 - d)
    for mean, value in pairs:
        if not mean.is_floating_point():
            mean.copy_(value)
