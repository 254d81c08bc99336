"""What a worker needs to run a trial."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from src.config.schema.augment import Augment
from src.config.schema.model import ModelConfig
from src.config.schema.train import Train
from src.search.engine.pruning import Pruning
from src.training.subset_task import SharedDataset

Rows = NDArray[np.int64]
Folds = tuple[tuple[Rows, Rows], ...]  # of each fold: rows that train, and rows that validate


class Pruner(Protocol):
    """Decides whether a trial continues."""

    def begin(self) -> Pruning:
        """Start at step 1, also where the trial resumes after a kill."""
        ...


@dataclass(frozen=True)
class TrialTask:
    """Everything that decides a trial, and where it keeps what has to survive a kill."""

    number: int
    sample: SharedDataset
    model: ModelConfig
    augment: Augment
    train: Train
    folds: Folds  # one: the validation split
    seed: int
    objective: str  # metric that is reported after each epoch, or each fold
    mean_of_folds: bool  # report the mean of the folds so far instead of each fold's own value
    pruner: Pruner
    state: Path  # folder for checkpoints
    device: str
    root: Path  # of the repository, for the journal
    record: dict[str, Any]  # for the journal
    metrics: tuple[str, ...] = ()  # of the validation images, which objectives and constraints need
