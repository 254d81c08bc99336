"""The optimizer of a training, created by timm's factory."""

import inspect
from typing import Any

from timm.optim import (  # type: ignore[attr-defined]  # timm exports it untyped
    create_optimizer_v2,
    get_optimizer_info,
)
from torch import nn
from torch.optim import Optimizer

from src.config.schema.train import Optimizer as OptimizerConfig
from src.config.suggestions import did_you_mean
from src.core.errors import AssayError

# A kernel updates all weights in one pass: faster, and just as deterministic.
FUSED = {"sgd", "adam", "adamw"}
# What the other fields of the section set.
OWN = {"self", "params", "lr", "weight_decay", "momentum", "fused", "foreach"}


def create_optimizer(
    network: nn.Module, optimizer: OptimizerConfig, fused: bool = True, layer_decay: float = 1.0
) -> Optimizer:
    """Any optimizer of timm's factory; norms and biases get no weight decay.

    Args:
        network: Its weights are optimized.
        optimizer: The section of the configuration.
        fused: Whether one kernel may update all weights.
        layer_decay: Factor of the learning rate from each layer to the one below it (Clark et al., ELECTRA,
            2020); each group of parameters then has its own ``lr_scale``.

    Raises:
        AssayError: It does not take the options.
    """
    _refuse_unknown_options(optimizer)
    kernel: dict[str, Any] = {"fused": True} if fused and optimizer.name in FUSED else {}
    if optimizer.name == "sgd" and not optimizer.momentum:
        kernel |= {"nesterov": False}  # looks ahead along the momentum
    if layer_decay < 1:
        kernel |= {"layer_decay": layer_decay}
    try:
        return create_optimizer_v2(
            network,
            opt=optimizer.name,
            lr=optimizer.lr,
            weight_decay=optimizer.weight_decay,
            momentum=optimizer.momentum,
            filter_bias_and_bn=True,
            **(kernel | optimizer.options),
        )
    except (AssertionError, IndexError, TypeError, ValueError) as error:
        raise AssayError(
            f"train.optimizer.name={optimizer.name} does not take options={optimizer.options}: {error}"
        ) from error


def _refuse_unknown_options(optimizer: OptimizerConfig) -> None:
    found: Any = get_optimizer_info(optimizer.name).opt_class
    taken = [each for each in inspect.signature(found).parameters if each not in OWN]
    faults = [f"{key}{did_you_mean(key, taken)}" for key in optimizer.options if key not in taken]
    if faults:
        raise AssayError(
            f"train.optimizer.options has {', '.join(faults)}, but {optimizer.name} takes {', '.join(taken)}"
        )
