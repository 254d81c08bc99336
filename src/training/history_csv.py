"""The curves of a training as a CSV file."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from src.core.csv_files import write_csv
from src.core.metric_names import CURVE, WEIGHTS

if TYPE_CHECKING:  # heavy, and not needed for --help
    from src.training.early_stopping import Row


def write_history(path: Path, history: "Sequence[Row]", hashes: Sequence[str]) -> None:
    """One row per epoch, with the columns ``epoch``, ``epoch/train/loss``, ``epoch/val/loss`` and so on.

    ``weights`` has the SHA-256 of the weights after each epoch: that of the kept one is the hash of
    model.safetensors, and two trainings part in the first epoch in which theirs differ.
    """
    columns = [name if name == "epoch" else CURVE + name for name in history[0]]
    rows = [[*row.values(), hashed] for row, hashed in zip(history, hashes, strict=True)]
    write_csv(path, [*columns, WEIGHTS], rows)
