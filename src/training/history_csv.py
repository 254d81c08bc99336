"""The curves of a training as a CSV file."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from src.core.csv_files import write_csv
from src.core.metric_names import CURVE

if TYPE_CHECKING:  # heavy, and not needed for --help
    from src.training.early_stopping import Row


def write_history(path: Path, history: "Sequence[Row]") -> None:
    """One row per epoch, with the columns ``epoch``, ``epoch/train/loss``, ``epoch/val/loss`` and so on."""
    columns = [name if name == "epoch" else CURVE + name for name in history[0]]
    write_csv(path, columns, [list(row.values()) for row in history])
