"""What the finished epochs decide: which one is best, and when to stop.

All are functions of the history, so that a resumed training decides as an unbroken one.
"""

from collections.abc import Sequence

from src.config.schema.train import Train
from src.core.metric_names import metric_of

Row = dict[str, float]  # of one epoch: epoch (1 is the first), train/loss, val/loss, val/accuracy, lr
TIE_BREAKERS = ("val/loss", "val/accuracy")
LAST = "last"  # as a monitor: the last epoch is kept, and no validation image decides anything


def score(row: Row, monitor: str) -> float:
    """The monitored metric of an epoch, with its sign such that higher is better.

    With ``LAST`` it is the training loss, which then lowers the learning rate of the schedule plateau.
    """
    monitor = "train/loss" if monitor == LAST else monitor
    return -row[monitor] if metric_of(monitor).direction == "minimize" else row[monitor]


def best_epoch(history: Sequence[Row], monitor: str) -> int:
    """The epoch with the best monitored metric; ties go to the better loss, then accuracy, then the first.

    With ``LAST`` it is the last one.
    """
    if monitor == LAST:
        return len(history)
    best = max(history, key=lambda row: [score(row, name) for name in (monitor, *TIE_BREAKERS)])
    return int(best["epoch"])


def should_stop(history: Sequence[Row], train: Train) -> bool:
    """True after the last epoch, or after ``patience`` epochs without a new best."""
    if len(history) >= train.epochs:
        return True
    if not train.patience or not history:
        return False
    values = [score(row, train.monitor) for row in history]
    return len(values) - 1 - values.index(max(values)) >= train.patience
