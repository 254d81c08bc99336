"""The learning rate as a pure function of the step, so that a resumed training needs no state for it."""

import math
from collections.abc import Sequence

from src.config.schema.train import Schedule

START = 1 / 25  # share of one_cycle's peak, as in Smith & Topin, 2018 (fastai's and torch's default)
END = START * 1e-4


def lr_factor(schedule: Schedule, step: int, steps_per_epoch: int, epochs: int, drops: int = 0) -> float:
    """Factor of the peak learning rate at ``step`` (0 is the first of the training).

    ``drops`` counts the drops of a plateau schedule so far (``plateau_drops``). ``one_cycle`` rises along a
    cosine from 1/25 and falls along another to about 0; momentum stays constant. The others rise linearly.
    """
    steps = epochs * steps_per_epoch
    warmup = schedule.warmup * steps
    if step < warmup:
        return _rise(schedule, (step + 1) / (warmup + 1))
    share = (step - warmup) / max(steps - warmup, 1)  # 0 … below 1
    return _after_warmup(schedule, share, step // steps_per_epoch, drops)


def plateau_drops(schedule: Schedule, values: Sequence[float]) -> int:
    """Drops of a plateau schedule after epochs with these scores (higher is better).

    A drop follows each run of more than ``patience`` epochs without a new best score.
    """
    drops, waited, best = 0, 0, -math.inf
    for value in values:
        waited = 0 if value > best else waited + 1
        best = max(best, value)
        if waited > schedule.patience:
            drops, waited = drops + 1, 0
    return drops


def _rise(schedule: Schedule, share: float) -> float:
    if schedule.name == "one_cycle":
        return _between(START, 1.0, share)
    return share


def _after_warmup(schedule: Schedule, share: float, epoch: int, drops: int) -> float:
    match schedule.name:
        case "cosine":
            return _between(1.0, 0.0, share)
        case "one_cycle":
            return _between(1.0, END, share)
        case "step":
            return float(schedule.gamma ** (epoch // schedule.step_epochs))
        case "plateau":
            return float(schedule.gamma**drops)
        case "constant":
            return 1.0


def _between(start: float, end: float, share: float) -> float:
    """Along half a cosine."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
