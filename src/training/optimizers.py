"""The optimizer of a training, created by timm's factory."""

from typing import Any

from timm.optim import create_optimizer_v2  # type: ignore[attr-defined]  # timm exports it untyped
from torch import nn
from torch.optim import Optimizer

from src.config.schema.train import Optimizer as OptimizerConfig

# A kernel updates all weights in one pass: faster, and just as deterministic.
FUSED = {"sgd", "adam", "adamw"}


def create_optimizer(network: nn.Module, optimizer: OptimizerConfig) -> Optimizer:
    """SGD (Nesterov), Adam, AdamW or RMSprop; norms and biases get no weight decay."""
    options: dict[str, Any] = {"fused": True} if optimizer.name in FUSED else {}
    return create_optimizer_v2(
        network,
        opt=optimizer.name,
        lr=optimizer.lr,
        weight_decay=optimizer.weight_decay,
        momentum=optimizer.momentum,
        filter_bias_and_bn=True,
        **options,
    )
