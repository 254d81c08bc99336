"""The trials of a search: as tasks for workers, and as entries of the journal."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src.config.schema import Config
from src.config.schema.sweep import Sweep
from src.core.hashing import json_hash
from src.core.metric_names import MONITORED, is_listed
from src.core.processes import process_identity
from src.core.seeds import derive_seed
from src.data.dataset.index import DatasetIndex, read_index, read_split
from src.data.splitting.assignment.folds import fold_rows
from src.data.splitting.assignment.rule import SplitRule
from src.data.splitting.assignment.rule_file import read_rule
from src.provenance.journal import RunRecord, attempts, child_record
from src.search.engine.constraints import parse_constraint
from src.search.engine.records import Proposal, Settings, Trial
from src.search.engine.trial import close_attempt
from src.search.engine.trial_configs import TrialConfigs
from src.search.engine.trial_log import SearchProgress
from src.search.engine.trial_task import Folds, Pruner, TrialTask
from src.training.subset_task import SharedDataset


def read_trial_data(config: Config, ingest: Path, split: Path, features: Path) -> tuple[SharedDataset, Folds]:
    """The images of a search, and the rows that train and that validate: of the splits, or of each fold.

    Test rows are in neither. ``features`` is the folder of those that trainings share.
    """
    rows, (splits, _) = read_index(ingest), read_split(split, ingest)
    method = config.normalize.method
    sample = SharedDataset(ingest / "images.npy", rows.targets, rows.classes, method, features)
    if not config.sweep.folds:
        return sample, ((rows.ids[splits == "train"], rows.ids[splits == "val"]),)
    rule, seed = read_rule(split), derive_seed(config.seed, "sweep")
    return sample, make_folds(rows, splits, config.sweep.folds, seed, rule)


def make_folds(rows: DatasetIndex, splits: NDArray[np.str_], folds: int, seed: int, rule: SplitRule) -> Folds:
    """(train, val) rows of each fold of what is train or val in ``splits`` (N,)."""
    numbers = fold_rows(rows, splits, folds, seed, rule)
    return tuple(
        (rows.ids[(numbers >= 0) & (numbers != fold)], rows.ids[numbers == fold]) for fold in range(folds)
    )


def trial_lineage(parent: str, number: int) -> str:
    """The identity of a trial: that of its search, and its number."""
    return json_hash([parent, "trial", number])


@dataclass(frozen=True)
class TrialTasks:
    """Makes the task of each proposal."""

    candidates: TrialConfigs
    sample: SharedDataset
    folds: Folds
    state: Path  # survives a kill
    root: Path  # of the repository
    record: dict[str, Any]  # the search's own in the journal

    def __call__(self, proposal: Proposal, pruner: Pruner) -> TrialTask:
        """
        Raises:
            AssayError: The settings contradict each other.
        """
        config, sweep = self.candidates.config(proposal.settings), self.candidates.loaded.config.sweep
        return TrialTask(
            number=proposal.number,
            sample=self.sample,
            model=config.model,
            augment=config.augment,
            train=config.train,
            folds=self.folds,
            seed=derive_seed(config.seed, "trial", proposal.number),
            objective=next(iter(sweep.objectives)),
            mean_of_folds=sweep.pruner != "wilcoxon",
            pruner=pruner,
            state=self.running(proposal.number),
            device=config.machine.device,
            root=self.root,
            record=trial_record(self.record, proposal.number, proposal.settings),
            metrics=_validation_metrics(sweep),
        )

    def running(self, number: int) -> Path:
        """Where a trial keeps its checkpoints."""
        return self.state / "running" / f"{number:05d}"


def trial_record(parent: dict[str, Any], number: int, settings: Settings) -> dict[str, Any]:
    """What the journal says of a trial before it starts; ``parent`` is the search's record."""
    lineage = trial_lineage(parent["lineage"], number)
    tags = {"trial.number": str(number)}
    return child_record(parent, "trial", f"trial-{number:03d}", lineage, settings, tags)


def _validation_metrics(sweep: Sweep) -> tuple[str, ...]:
    """Metrics of the validation images that objectives and constraints name."""
    constrained = (parse_constraint(constraint)[0] for constraint in sweep.constraints)
    named = dict.fromkeys((*sweep.objectives, *constrained))
    return tuple(name for name in named if is_listed(name, MONITORED))


@dataclass
class TrialRecorder:
    """Follows a search: frees what finished trials leave, and makes sure that the journal has each."""

    tasks: TrialTasks
    show_child: Callable[[str], None]  # shows the trial with this lineage to whoever follows the search
    adopts: bool = True  # also trials that no process here has run
    seen: set[int] = field(default_factory=set)

    def __call__(self, progress: SearchProgress) -> None:
        """Record the trials that have ended since the last call."""
        for trial in progress.trials:
            if trial.number not in self.seen:
                self.seen.add(trial.number)
                self._record(trial)

    def _record(self, trial: Trial) -> None:
        lineage = self._lineage(trial.number)
        closed = [attempt for attempt in attempts(self.tasks.root, lineage) if "ended" in attempt.record]
        if not closed and not self.adopts:
            return
        if not closed or closed[-1].record["status"] == "KILLED":  # no worker has written its end
            self._write(trial)
        shutil.rmtree(self.tasks.running(trial.number), ignore_errors=True)
        self.show_child(lineage)

    def _write(self, trial: Trial) -> None:
        """A trial that was reused, had impossible settings, or was stopped by the machine."""
        record = trial_record(self.tasks.record, trial.number, trial.settings)
        if trial.reused is not None:
            record["tags"] |= {"trial.reused": str(trial.reused)}
        attempt = RunRecord.open(self.tasks.root, {**record, "process": process_identity()})
        for row in self._history(trial.reused):
            attempt.add_epoch(row)
        close_attempt(attempt, trial.outcome)

    def _history(self, number: int | None) -> list[dict[str, float]]:
        """The epochs of the trial whose result was reused, so that both are shown alike."""
        known = [] if number is None else list(attempts(self.tasks.root, self._lineage(number)))
        return known[-1].history if known else []

    def _lineage(self, number: int) -> str:
        return trial_lineage(self.tasks.record["lineage"], number)
