"""How large a model is: parameters, multiply-accumulates and bytes."""

import gzip
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

SCOPE = "model"  # of the metrics


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
class ModelSize:
    """How large a saved model is."""

    bytes: int  # of the file with the weights
    gzip_bytes: int  # of that file, compressed
    parameters: int
    nonzero_parameters: int
    macs: int  # multiply-accumulates for one image

    @property
    def sparsity(self) -> float:
        """Share of the parameters that are zero."""
        return 1 - self.nonzero_parameters / self.parameters if self.parameters else 0.0

    def to_metrics(self) -> dict[str, float]:
        """``model/bytes``, …, ``model/sparsity``."""
        values = {**asdict(self), "sparsity": self.sparsity}
        return {f"{SCOPE}/{name}": value for name, value in values.items()}

    @classmethod
    def from_metrics(cls, metrics: Mapping[str, Any]) -> "ModelSize":
        """The size among the ``metrics`` of a model. Raises KeyError when a part of it is missing."""
        return cls(**{field.name: int(metrics[f"{SCOPE}/{field.name}"]) for field in fields(cls)})


def measure_size(network: nn.Module, example: torch.Tensor, content: bytes) -> ModelSize:
    """The size of a network that is saved as a file with ``content``; ``example`` is one image (1, …)."""
    return ModelSize(
        bytes=len(content),
        gzip_bytes=len(gzip.compress(content, compresslevel=9, mtime=0)),
        parameters=count_parameters(network),
        nonzero_parameters=count_nonzero(network),
        macs=count_macs(network, example),
    )
