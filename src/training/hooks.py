"""Lightning callbacks that every training may have; ``src.training.callbacks`` holds those of a user."""

from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl

from src.training.classifier import Classifier


class StepProgress(pl.Callback):
    """Moves a progress bar by one with every step."""

    def __init__(self, advance: Callable[[int], None]) -> None:
        self.advance = advance

    def on_train_batch_end(self, *arguments: Any, **more: Any) -> None:
        self.advance(1)


class ReplayHistory(pl.Callback):
    """Gives loggers the epochs of a resumed training that were finished before: a logger starts empty."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, Classifier)
        for row in pl_module.history:
            epoch = int(row["epoch"])
            values = {name: value for name, value in row.items() if name != "epoch"}
            for logger in trainer.loggers:
                # Lightning counts epochs and steps from 0.
                logger.log_metrics({**values, "epoch": epoch - 1}, step=epoch * pl_module.steps - 1)
