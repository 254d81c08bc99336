"""What a worker is told of a trial."""

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


class Rule(Protocol):
    """Decides whether a trial goes on."""

    def begin(self) -> Pruning:
        """The pruning of a trial that starts, or goes on, now."""
        ...


@dataclass(frozen=True)
class TrialTask:
    """All that decides a trial, and where it may keep what survives a kill."""

    number: int
    sample: SharedDataset
    model: ModelConfig
    augment: Augment
    train: Train
    parts: tuple[
        tuple[Rows, Rows], ...
    ]  # rows that train, rows that choose and are measured; one, or one a fold
    seed: int
    objective: str  # figure reported after each epoch, or each fold
    mean_of_folds: bool  # report the mean of the folds so far, and not each fold's own figure
    rule: Rule
    state: Path  # folder for checkpoints
    device: str
    root: Path  # of the repository, for the journal
    record: dict[str, Any]  # of the journal
