"""One trial: a training with proposed settings, or one training per fold, in a worker process."""

from dataclasses import asdict
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from pydantic import TypeAdapter
from safetensors.torch import save
from torch import nn

from src.config.schema.model import FeatureModel, ModelConfig
from src.core.errors import AssayError
from src.core.hashing import json_hash
from src.core.metric_names import ALWAYS
from src.core.processes import process_identity
from src.core.seeds import derive_seed
from src.data.dataset.arrays import open_array
from src.models.build import build_model
from src.models.size import count_macs, count_parameters
from src.provenance.journal import RunRecord
from src.search.engine.pruning import Pruning
from src.search.engine.records import TrialResult
from src.search.engine.trial_task import TrialTask
from src.search.engine.worker_pool import exit_if_orphaned, is_out_of_memory
from src.training.early_stopping import Row, score
from src.training.fit import fit
from src.training.subset_task import make_task


class _PruningError(Exception):
    """Ends a training from within the callback of an epoch, as Optuna's integrations do."""


def run_trial(task: TrialTask) -> TrialResult:
    """Train in a worker process, with a lock on the checkpoints and a record in the journal.

    Raises what only the machine can cause: MemoryError, OSError, torch's out-of-memory errors.
    """
    task.state.mkdir(parents=True, exist_ok=True)
    # A worker whose parent was killed trains until its epoch ends, then notices that it is orphaned.
    with FileLock(f"{task.state}.lock"):
        attempt = RunRecord.open(task.root, {**task.record, "process": process_identity()})
        try:
            outcome = train_trial(task, attempt)
        except BaseException as error:
            attempt.close("KILLED", f"{type(error).__name__}: {error}")
            raise
        close_attempt(attempt, outcome)
        return outcome


def train_trial(task: TrialTask, attempt: RunRecord | None = None) -> TrialResult:
    """The result of the training; what the settings cause makes it a failed trial."""
    trial = _Trial(task, attempt)
    try:
        trial.measure()
        trial.train()
    except _PruningError:
        return trial.outcome("pruned", f"pruned after {trial.progress()}")
    except (AssayError, RuntimeError, ValueError) as error:
        if is_out_of_memory(error):
            raise
        kind = "" if isinstance(error, AssayError) else f"{type(error).__name__}: "
        return trial.outcome("failed", f"{kind}{str(error).strip().splitlines()[0]}")
    return trial.outcome("complete", None)


class _Trial:
    """A running trial: what it has reported so far."""

    def __init__(self, task: TrialTask, attempt: RunRecord | None) -> None:
        self.task = task
        self.attempt = attempt
        self.pruning: Pruning = task.pruner.begin()
        self.metrics: dict[str, float] = {}
        self.steps: dict[int, float] = {}
        self.folds: list[dict[str, float]] = []  # metrics of finished folds
        # metrics of the validation images
        self.measured = list(dict.fromkeys([*ALWAYS, task.train.monitor, *task.metrics]))
        self.epochs = 0

    def measure(self) -> None:
        """Parameters, multiply-accumulates and bytes of the network."""
        shape = open_array(self.task.sample.images).shape
        self.metrics |= _measure(self.task.model.model_dump_json(), shape[1:], len(self.task.sample.classes))

    def train(self) -> None:
        """Train on every fold; the metrics are the means over the folds."""
        for fold in range(len(self.task.folds)):
            self._train_fold(fold)

    def outcome(self, state: Any, reason: str | None) -> TrialResult:
        return TrialResult(
            state, self.metrics, self.steps, self.epochs, dict(self.pruning.pruner_state), reason
        )

    def progress(self) -> str:
        """How far the trial got."""
        if len(self.task.folds) > 1:
            return f"fold {len(self.folds)} of {len(self.task.folds)}"
        return f"epoch {self.epochs} of {self.task.train.epochs}"

    def _train_fold(self, fold: int) -> None:
        task = self.task
        train_rows, val_rows = task.folds[fold]
        seed = derive_seed(task.seed, "part", fold)
        training = make_task(
            task.sample, task.model, task.augment, task.train, train_rows, val_rows, seed, task.metrics
        )
        state = task.state / str(fold)
        fitted = fit(training, state, task.device, on_start=self._on_start, on_epoch=self._on_epoch)
        if isinstance(task.model, FeatureModel):  # how much it keeps of the images was not known before
            self.metrics |= _size(fitted.network, training.images.shape[1:])
        self.folds.append({name: fitted.best[name] for name in self.measured})
        self.metrics |= {name: float(np.mean([fold[name] for fold in self.folds])) for name in self.measured}
        if len(task.folds) > 1:
            self._on_fold()

    def _on_start(self, numerics: dict[str, Any]) -> None:
        if self.attempt is not None:
            self.attempt.update(numerics=numerics)

    def _on_epoch(self, row: Row) -> None:
        exit_if_orphaned()
        self.epochs += 1
        if self.attempt is not None:
            self.attempt.add_epoch({**row, "epoch": self.epochs})
        if len(self.task.folds) > 1:
            return
        monitor = self.task.train.monitor
        if monitor not in self.metrics or score(row, monitor) > score(self.metrics, monitor):
            self.metrics |= {name: row[name] for name in self.measured}
        last = row["epoch"] >= self.task.train.epochs or isinstance(self.task.model, FeatureModel)
        if self.task.objective in row:
            self._report(int(row["epoch"]), row[self.task.objective], last)

    def _on_fold(self) -> None:
        if self.task.objective in self.measured:
            done, objective = len(self.folds), self.task.objective
            value = self.metrics[objective] if self.task.mean_of_folds else self.folds[-1][objective]
            self._report(done, value, last=done == len(self.task.folds))

    def _report(self, step: int, value: float, last: bool) -> None:
        """Never stop at the last step, where nothing is left to save."""
        self.steps[step] = value
        if self.pruning.report(step, value) and not last:
            raise _PruningError


@lru_cache(maxsize=64)
def _measure(model: str, shape: tuple[int, ...], classes: int) -> dict[str, float]:
    """Size of a network for images (C, H, W); trials often share one."""
    section: ModelConfig = TypeAdapter(ModelConfig).validate_json(model)
    return _size(build_model(section, shape[0], classes, shape[1:]).eval(), shape)


def _size(network: nn.Module, shape: tuple[int, ...]) -> dict[str, float]:
    state = {name: value.contiguous() for name, value in network.state_dict().items()}
    return {
        "model/parameters": float(count_parameters(network)),
        "model/macs": float(count_macs(network, torch.zeros(1, *shape))),
        "model/bytes": float(len(save(state))),
    }


def close_attempt(attempt: RunRecord, outcome: TrialResult) -> None:
    """Write the result of a trial to the journal."""
    tags = {"trial.state": outcome.state} | ({"trial.reason": outcome.reason} if outcome.reason else {})
    attempt.update(metrics=outcome.metrics, tags=tags, outputs={"outcome": json_hash(asdict(outcome))})
    failed = outcome.state == "failed"
    attempt.close("FAILED" if failed else "FINISHED", outcome.reason if failed else None)
