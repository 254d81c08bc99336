"""What the finished epochs decide: the best one, drops of the learning rate, the end.

All are functions of the history, one row an epoch, so that a resumed training decides alike.
"""

from collections.abc import Sequence

from src.config.schema.train import Train

Row = dict[str, float]  # epoch (1 is the first), train/loss, val/loss, val/accuracy, lr


def score(row: Row, monitor: str) -> float:
    """The monitored figure of an epoch, turned so that higher is better."""
    return -row["val/loss"] if monitor == "val/loss" else row[monitor]


def best_epoch(history: Sequence[Row], monitor: str) -> int:
    """The epoch with the best monitored figure; among equals the other figure decides, then the first."""
    other = "val/loss" if monitor == "val/accuracy" else "val/accuracy"
    best = max(history, key=lambda row: (score(row, monitor), score(row, other)))
    return int(best["epoch"])


def should_stop(history: Sequence[Row], train: Train) -> bool:
    """True after the last epoch, or after ``patience`` epochs without a new best monitored figure."""
    if len(history) >= train.epochs:
        return True
    if not train.patience or not history:
        return False
    values = [score(row, train.monitor) for row in history]
    return len(values) - 1 - values.index(max(values)) >= train.patience
