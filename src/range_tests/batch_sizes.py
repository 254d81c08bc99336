"""How many images per second a training processes, by batch size."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psutil
import pytorch_lightning as pl
import torch

from src.core.errors import AssayError
from src.models.numerics import wall_clock
from src.range_tests.probe import ProbeEndedError, probe
from src.training.task import TrainingTask

SMALLEST, LARGEST = 16, 8192
FEWEST = 10  # steps of an epoch that has to teach something
WARM_UP, STEPS, SECONDS = 2, 20, 1.0  # steps that are not counted; those that are, at most; time, at least
NEARLY = 0.9  # of the highest speed: beyond it a larger batch has fewer steps to learn in and gains little


@dataclass(frozen=True)
class BatchSpeed:
    """What was measured with batches of one size."""

    size: int  # images
    speed: float  # images a second


def measure_batch_sizes(task: TrainingTask, device: str = "auto") -> Iterator[BatchSpeed]:
    """Train a few steps with 16, 32, 64 … images in a batch, as long as memory lasts and an epoch has ten."""
    size = SMALLEST
    while size <= min(LARGEST, max(len(task.train_rows) // FEWEST, SMALLEST)):
        clock, before = StepClock(), _free_memory()
        try:
            probe(task, clock, size, WARM_UP + STEPS, device)
        except torch.OutOfMemoryError:
            return
        yield BatchSpeed(size, size / min(clock.seconds))
        if 3 * (before - clock.free) > before:  # twice as many images take twice that, and some is spared
            return
        size *= 2


def suggested_size(found: Sequence[BatchSpeed]) -> int:
    """The smallest size that is nearly as fast as the fastest.

    Raises:
        AssayError: Not even the smallest batch fits into memory.
    """
    if not found:
        raise AssayError(
            f"a batch of {SMALLEST} images does not fit into memory: choose a smaller model or image size"
        )
    enough = NEARLY * max(each.speed for each in found)
    return next(each.size for each in found if each.speed >= enough)


class StepClock(pl.Callback):
    """Times the steps of a training, and looks how much memory they leave."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.free = _free_memory()
        self._steps, self._before = 0, 0.0

    def on_train_batch_end(self, *arguments: Any, **more: Any) -> None:
        now = wall_clock()
        if self._steps >= WARM_UP:
            self.seconds.append(now - self._before)
        self._before = now
        self.free = min(self.free, _free_memory())
        self._steps += 1
        if len(self.seconds) == STEPS or (len(self.seconds) >= 3 and sum(self.seconds) > SECONDS):
            raise ProbeEndedError


def _free_memory() -> int:
    """Bytes of main memory. A GPU says by itself when its own is full."""
    return int(psutil.virtual_memory().available)
