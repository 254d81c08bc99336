"""The optimizer of a training, created by timm's factory."""

from typing import Any

from timm.optim import create_optimizer_v2  # type: ignore[attr-defined]  # timm exports it untyped
from torch import nn
from torch.optim import Optimizer

from src.config.schema.train import Optimizer as OptimizerConfig

# A kernel updates all weights in one pass: faster, and just as deterministic.
FUSED = {"sgd", "adam", "adamw"}


def create_optimizer(network: nn.Module, optimizer: OptimizerConfig, layer_decay: float = 1.0) -> Optimizer:
    """SGD (Nesterov), Adam, AdamW or RMSprop; norms and biases get no weight decay.

    Args:
        layer_decay: factor of the learning rate from each layer to the one below it (Clark et al., ELECTRA,
            2020); each group of parameters then has its own ``lr_scale``.
    """
    options: dict[str, Any] = {"fused": True} if optimizer.name in FUSED else {}
    if layer_decay < 1:
        options["layer_decay"] = layer_decay
    return create_optimizer_v2(
        network,
        opt=optimizer.name,
        lr=optimizer.lr,
        weight_decay=optimizer.weight_decay,
        momentum=optimizer.momentum,
        filter_bias_and_bn=True,
        **options,
    )
