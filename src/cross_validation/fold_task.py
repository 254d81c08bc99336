"""What a worker needs to know of a fold."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src.config.schema.augment import Augment
from src.config.schema.model import ModelConfig
from src.config.schema.train import Train
from src.training.subset_task import SharedDataset

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class FoldTask:
    """Everything that decides a fold, and where it keeps what survives a kill."""

    repeat: int
    fold: int
    sample: SharedDataset
    model: ModelConfig
    augment: Augment
    train: Train
    train_rows: Rows
    val_rows: Rows  # that choose the epoch
    test_rows: Rows  # the fold
    seed: int
    settings: dict[str, Any]  # found by a search inside the training part; empty without one
    state: Path  # of the stage
    batch_size: int  # of predictions
    device: str
    root: Path  # of the repository, for the journal
    record: dict[str, Any]  # of the journal

    @property
    def name(self) -> str:
        """The name of the fold's files."""
        return f"{self.repeat}-{self.fold}"

    @property
    def lineage(self) -> str:
        """The fold's identity in the journal."""
        return str(self.record["lineage"])

    @property
    def outcome(self) -> Path:
        """The file that exists once the fold is finished."""
        return self.state / "folds" / f"{self.name}.parquet"

    @property
    def running(self) -> Path:
        """Where the checkpoint is until then."""
        return self.state / "running" / self.name
