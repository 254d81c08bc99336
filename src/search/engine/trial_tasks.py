"""The trials of a search: as tasks for workers, and as entries of the journal."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from src.core.hashing import json_hash
from src.core.processes import process_identity
from src.core.seeds import derive_seed
from src.data.dataset.index import DatasetIndex, read_index, read_split
from src.data.splitting.splits import fold_rows
from src.provenance.journal import RunRecord, attempts, child_record
from src.search.engine.records import Proposal, Settings, Trial
from src.search.engine.trial import close_attempt
from src.search.engine.trial_task import TrialTask
from src.training.subset_task import SharedDataset

if TYPE_CHECKING:
    from src.config.schema import Config
    from src.search.engine.trial_configs import TrialConfigs
    from src.search.engine.trial_log import SearchProgress
    from src.search.engine.trial_task import Rule
    from src.tracking.live import Tracker

Rows = NDArray[np.int64]
Parts = tuple[tuple[Rows, Rows], ...]
INGEST, SPLIT = Path("data/ingest"), Path("data/split")


def read_sample(config: "Config") -> tuple[SharedDataset, Parts]:
    """The images of a search, and the rows that train and that choose: of the splits, or of each fold.

    Test rows are in neither.
    """
    rows, (split, _) = read_index(INGEST), read_split(SPLIT)
    images = INGEST / "images.npy"
    sample = SharedDataset(images, rows.targets, len(rows.classes), config.normalize.method)
    if not config.sweep.folds:
        return sample, ((rows.ids[split == "train"], rows.ids[split == "val"]),)
    return sample, fold_parts(rows, split, config.sweep.folds, derive_seed(config.seed, "sweep"))


def fold_parts(rows: DatasetIndex, split: NDArray[np.str_], folds: int, seed: int) -> Parts:
    """(train, val) rows of each fold of what is train or val in ``split`` (N,)."""
    numbers = fold_rows(rows, split, folds, seed)
    return tuple(
        (rows.ids[(numbers >= 0) & (numbers != fold)], rows.ids[numbers == fold]) for fold in range(folds)
    )


def trial_lineage(parent: str, number: int) -> str:
    """The identity of a trial: that of its search, and its place in it."""
    return json_hash([parent, "trial", number])


@dataclass(frozen=True)
class TrialTasks:
    """Makes the task of each proposal."""

    candidates: "TrialConfigs"
    sample: SharedDataset
    parts: Parts
    state: Path  # survives a kill
    root: Path  # of the repository
    record: dict[str, Any]  # the search's own, of the journal

    def __call__(self, proposal: Proposal, rule: "Rule") -> TrialTask:
        """
        Raises:
            AssayError: the settings contradict each other.
        """
        config, sweep = self.candidates.config(proposal.settings), self.candidates.loaded.config.sweep
        return TrialTask(
            number=proposal.number,
            sample=self.sample,
            model=config.model,
            augment=config.augment,
            train=config.train,
            parts=self.parts,
            seed=derive_seed(config.seed, "trial", proposal.number),
            objective=next(iter(sweep.objectives)),
            mean_of_folds=sweep.pruner != "wilcoxon",
            rule=rule,
            state=self.running(proposal.number),
            device=config.machine.device,
            root=self.root,
            record=trial_record(self.record, proposal.number, proposal.settings),
        )

    def running(self, number: int) -> Path:
        """Where a trial keeps its checkpoints."""
        return self.state / "running" / f"{number:05d}"


def trial_record(parent: dict[str, Any], number: int, settings: Settings) -> dict[str, Any]:
    """What the journal says of a trial before it begins; ``parent`` is the search's record."""
    lineage = trial_lineage(parent["lineage"], number)
    tags = {"trial.number": str(number)}
    return child_record(parent, "trial", f"trial-{number:03d}", lineage, settings, tags)


@dataclass
class TrialRecorder:
    """Follows a search: frees what ended trials leave, and sees that the journal and MLflow have each."""

    tasks: TrialTasks
    tracker: "Tracker"
    adopts: bool = True  # also trials that no process here has carried out
    seen: set[int] = field(default_factory=set)

    def __call__(self, standing: "SearchProgress") -> None:
        """Take note of the trials that have ended since the last call."""
        for trial in standing.trials:
            if trial.number not in self.seen:
                self.seen.add(trial.number)
                self._note(trial)

    def _note(self, trial: Trial) -> None:
        lineage = self._lineage(trial.number)
        closed = [attempt for attempt in attempts(self.tasks.root, lineage) if "ended" in attempt.record]
        if not closed and not self.adopts:
            return
        if not closed or closed[-1].record["status"] == "KILLED":  # no worker has written its end
            self._write(trial)
        shutil.rmtree(self.tasks.running(trial.number), ignore_errors=True)
        self.tracker.show_child(lineage)

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
        """The epochs of the trial whose outcome was reused, so that both are shown alike."""
        known = [] if number is None else list(attempts(self.tasks.root, self._lineage(number)))
        return known[-1].history if known else []

    def _lineage(self, number: int) -> str:
        return trial_lineage(self.tasks.record["lineage"], number)
