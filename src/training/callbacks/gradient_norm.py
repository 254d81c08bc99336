"""How large the gradients of a training are: what ``train.gradient_clip_val`` should be."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch.optim import Optimizer


class GradientNorm(pl.Callback):
    """Logs ``train/gradient_norm``, the mean over an epoch's steps before clipping, and its maximum.

    Args:
        every: measure every n-th step only.
    """

    def __init__(self, every: int = 1) -> None:
        if every < 1:
            raise ValueError(f"every must be at least 1, but got {every}")
        self.every = every

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.norms: list[torch.Tensor] = []  # stay on the device until the epoch ends
        self.steps = 0

    def on_before_optimizer_step(
        self, trainer: Any, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        if self.steps % self.every == 0:
            gradients = [weight.grad for weight in pl_module.parameters() if weight.grad is not None]
            self.norms.append(torch.nn.utils.get_total_norm(gradients))
        self.steps += 1

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        norms = torch.stack(self.norms)
        pl_module.log("train/gradient_norm", norms.mean())
        pl_module.log("train/gradient_norm/max", norms.max())
