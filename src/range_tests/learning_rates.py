"""The learning rate range test (Smith, 2017, section 3.3): which rate suits a network and its data.

The rate grows by a factor with every step, from far too low to far too high, and the loss shows where the
network begins to learn and where it begins to diverge. Lightning's Tuner does the same for a fixed rate in
an attribute of the module; here a schedule sets the rate of every step, so a callback replaces it.
"""

import math
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from torch.optim import Optimizer

from src.core.errors import AssayError
from src.plotting.style import BLUE, ORANGE, SOFT, new_figure, save, styled, subtitle
from src.range_tests.probe import ProbeEndedError, probe
from src.training.classifier import DivergedError
from src.training.task import TrainingTask

LOWEST, HIGHEST, STEPS = 1e-6, 10.0, 140  # twenty steps to a factor of ten
SMOOTHING = 0.9  # of the loss, whose batches differ
EXPLODED = 4.0  # times the lowest loss, where the test ends, as in fastai
FEWEST = 20  # steps before it may end: the first losses differ by chance
FALLS = 0.95  # of the first loss, which the lowest has to be below


@dataclass(frozen=True)
class RangeTest:
    """The smoothed loss at each rate."""

    rates: list[float]
    losses: list[float]

    @property
    def suggestion(self) -> float:
        """A quarter of the rate with the lowest loss.

        fastai takes a tenth of it. A quarter was better for ten pairs of a network and an optimizer on the
        digits (docs/training.md): a schedule with a warm-up stands higher rates than the test itself.

        Raises:
            AssayError: The loss does not fall.
        """
        lowest = int(np.argmin(self.losses))
        if not self.losses[lowest] < FALLS * self.losses[0]:
            raise AssayError(
                f"the loss does not fall at any learning rate from {LOWEST:g} to {self.rates[-1]:.2g}. See "
                "whether the network can learn at all: python -m src.train debug=overfit"
            )
        return self.rates[lowest] / 4


def range_test(task: TrainingTask, device: str = "auto", show: bool = False) -> RangeTest:
    """Train ``task`` with a growing learning rate until the loss explodes; ``show`` draws a progress bar.

    Raises:
        AssayError: as `src.training.fit.fit`.
    """
    sweep = RateSweep()
    size = min(task.train.batch_size * task.train.accumulate_grad_batches, len(task.train_rows))
    with suppress(DivergedError):  # at once, without a loss that is large but finite
        probe(task, sweep, size, STEPS, device, show)
    return RangeTest(sweep.rates, sweep.losses)


class RateSweep(pl.Callback):
    """Sets the rate of each step, after the module has set its own, and keeps the smoothed loss."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.losses: list[float] = []
        self._mean = 0.0

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        for group in optimizer.param_groups:
            group["lr"] = _rate(len(self.rates)) * group.get("lr_scale", 1.0)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = float(outputs["loss"])
        if not math.isfinite(loss):
            raise ProbeEndedError
        self._mean = SMOOTHING * self._mean + (1 - SMOOTHING) * loss
        self.rates.append(_rate(len(self.rates)))
        self.losses.append(self._mean / (1 - SMOOTHING ** len(self.rates)))  # as Adam corrects its means
        exploded = self.losses[-1] > EXPLODED * min(self.losses)
        if len(self.rates) == STEPS or (exploded and len(self.rates) >= FEWEST):
            raise ProbeEndedError


def draw_rates(path: Path, test: RangeTest, own: float) -> Path:
    """Draw the loss against the rate, with the suggestion and the rate of the configuration."""
    with styled():
        figure = new_figure(6.6, 3.8)
        axes = figure.subplots()
        axes.plot(test.rates, test.losses, color=BLUE)
        axes.axvline(own, color=SOFT, label=f"train.optimizer.lr={own:g}")
        axes.axvline(test.suggestion, color=ORANGE, label=f"suggested: {test.suggestion:.2g}")
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_ylim(0, 2 * test.losses[0])
        axes.set_xlabel("Learning rate")
        axes.set_ylabel("Training loss, smoothed")
        axes.set_title("Learning rate range test")
        subtitle(axes, f"{len(test.rates)} steps")
        axes.legend()
        return save(figure, path)


def _rate(step: int) -> float:
    return float(LOWEST * (HIGHEST / LOWEST) ** (step / (STEPS - 1)))
