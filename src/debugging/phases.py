"""Where the time of a training goes: Lightning's profiler, summed by phase."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.profilers import Profiler

from src.models.numerics import wall_clock

AUGMENTATION = "augmentation"
# How Lightning's names of what it does end -> the phase that this is counted in, in the order of a step.
PHASES = {
    "train_dataloader_next": "loading",
    "batch_to_device": "loading",
    AUGMENTATION: "augmentation",
    "training_step": "forward",
    "backward": "backward",
    "optimizer_step": "optimizer",
    "Classifier.on_train_batch_end": "averaging",
    "Classifier.on_train_epoch_end": "checkpoint",  # copies the best weights
    "LastCheckpoint.on_train_epoch_end": "checkpoint",
}
VALIDATION, REST = "validation", "the rest"
OF_STEP = ("loading", "augmentation", "forward", "backward", "optimizer", "averaging", REST)
OF_EPOCH = (VALIDATION, "checkpoint")


@dataclass(frozen=True)
class Phase:
    """One line of the table."""

    name: str
    step: float | None  # seconds of a step; None: happens once an epoch
    epoch: float  # seconds of an epoch
    share: float  # of the epoch


class PhaseProfiler(Profiler):
    """Sums the time of each phase without what is nested in it. The first step warms up: it is left out."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.steps, self.epochs = -1, 0
        self._open: list[str] = []  # phases, the innermost last
        self._validating = False
        self._last = 0.0

    def start(self, action_name: str) -> None:
        self._count()
        self._validating |= action_name.endswith("on_validation_start")
        self._open.append(self._phase(action_name))

    def stop(self, action_name: str) -> None:
        self._count()
        self._open.pop()
        self._validating &= not action_name.endswith("on_validation_end")
        self.steps += action_name == "run_training_batch"
        self.epochs += action_name == "run_training_epoch"
        if action_name == "run_training_batch" and self.steps == 0:
            self.seconds.clear()

    def describe(self) -> None:
        """Lightning would print its own table."""

    def summary(self) -> str:
        """Of Lightning's interface."""
        return ""

    def phases(self, batches: int) -> list[Phase]:
        """What an epoch of ``batches`` steps takes, the phases of a step first."""
        of_step = {name: self.seconds[name] / max(self.steps, 1) for name in OF_STEP}
        epoch = {name: each * batches for name, each in of_step.items()}
        epoch |= {name: self.seconds[name] / max(self.epochs, 1) for name in OF_EPOCH}
        total = sum(epoch.values())
        return [Phase(name, of_step.get(name), each, each / total) for name, each in epoch.items()]

    def _phase(self, action: str) -> str:
        if self._validating:
            return VALIDATION
        inherited = self._open[-1] if self._open else REST
        return next((phase for end, phase in PHASES.items() if action.endswith(end)), inherited)

    def _count(self) -> None:
        """Give the time since the last call to the innermost phase."""
        now = wall_clock()
        if self._open:
            self.seconds[self._open[-1]] += now - self._last
        self._last = now


class AugmentationClock(pl.Callback):
    """Tells the profiler of the augmentation, which Lightning does not know of."""

    def __init__(self, profiler: PhaseProfiler) -> None:
        self.profiler = profiler

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        augmentation: Any = pl_module.augmentation
        augmentation.register_forward_pre_hook(lambda *_: self.profiler.start(AUGMENTATION))
        augmentation.register_forward_hook(lambda *_: self.profiler.stop(AUGMENTATION))
