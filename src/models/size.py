"""How large a network is: parameters and multiply-accumulates."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def count_parameters(network: nn.Module) -> int:
    """Number of trained values."""
    return sum(parameter.numel() for parameter in network.parameters())


def count_nonzero(network: nn.Module) -> int:
    """Number of trained values that are not zero."""
    return sum(int(torch.count_nonzero(parameter)) for parameter in network.parameters())


def count_macs(network: nn.Module, example: torch.Tensor) -> int:
    """Multiply-accumulates of convolutions and matrix products for one image; ``example`` is (1, …)."""
    counter = FlopCounterMode(display=False)
    with torch.inference_mode(), counter:
        network(example)
    return int(counter.get_total_flops()) // 2  # a multiply-accumulate is two operations


@dataclass(frozen=True)
class Size:
    """How large a network is."""

    parameters: int
    nonzero: int  # parameters that are not zero
    macs: int  # multiply-accumulates for one image
