"""A copy of each search in ``optuna.log``, a storage that Optuna's own tools read.

    optuna-dashboard optuna.log        (make dashboard)
    optuna.load_study(study_name=…, storage=JournalStorage(JournalFileBackend("optuna.log")))

The search never reads it: it can be deleted at any time, and the next search writes it again.
"""

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import optuna
from filelock import FileLock, Timeout
from optuna.exceptions import OptunaError
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from src.provenance.journal import attempts
from src.search.engine.frozen_trials import STATES, frozen_trial
from src.search.engine.plan import SearchPlan
from src.search.engine.records import Trial
from src.search.engine.samplers import quiet_optuna
from src.search.engine.trial_log import SearchProgress

STORAGE = "optuna.log"
PATIENCE = 20  # seconds to wait for another process that writes


class StudyMirror:
    """Copies a search into ``optuna.log`` while it runs. It never fails the search: see ``say``."""

    def __init__(
        self,
        root: Path,
        name: str,
        plan: SearchPlan,
        lineages: Callable[[int], str],
        say: Callable[[str], None],
    ) -> None:
        """
        Args:
            root: Of the repository.
            name: Of the study.
            plan: The search.
            lineages: The lineage of the trial with this number.
            say: Prints a line, if the file cannot be written.
        """
        self._root, self._name, self._plan = root, name, plan
        self._lineages, self._say = lineages, say
        self._study: optuna.Study | None = None
        self._next = 0  # number of the next trial to copy
        self._broken = False

    def __call__(self, progress: SearchProgress) -> None:
        """Copy the trials that have ended, in the order of their numbers and without gaps."""
        if self._broken:
            return
        try:
            with quiet_optuna():
                self._copy({trial.number: trial for trial in progress.trials})
        except (OSError, ValueError, KeyError, OptunaError, Timeout) as error:
            self._broken = True
            self._say(
                f"{STORAGE} could not be written ({type(error).__name__}: {error}). The search continues "
                "without it; delete the file if it is damaged"
            )

    def _copy(self, ended: dict[int, Trial]) -> None:
        if self._study is None and ended:
            self._study = self._open(ended)
        while self._study is not None and self._next in ended:
            self._study.add_trial(self._frozen(ended[self._next]))
            self._next += 1

    def _open(self, ended: dict[int, Trial]) -> optuna.Study:
        """The study as far as an earlier process copied it; a new one if that had other trials."""
        storage = open_storage(self._root)
        if self._name in optuna.get_all_study_names(storage):
            study = optuna.load_study(study_name=self._name, storage=storage)
            copied = study.get_trials(deepcopy=False)
            if all(self._agrees(trial, ended.get(trial.number)) for trial in copied):
                self._next = len(copied)
                return study
            optuna.delete_study(study_name=self._name, storage=storage)
        directions = [StudyDirection[direction.upper()] for direction in self._plan.objectives.values()]
        study = optuna.create_study(study_name=self._name, storage=storage, directions=directions)
        study.set_metric_names(list(self._plan.objectives))
        return study

    def _agrees(self, copied: FrozenTrial, trial: Trial | None) -> bool:
        """Whether a copied trial is that of this search; not known of one that has not ended again."""
        if trial is None:
            return True
        return copied.state == STATES[trial.outcome.state] and copied.params == self._frozen(trial).params

    def _frozen(self, trial: Trial) -> FrozenTrial:
        frozen = frozen_trial(self._plan, trial, list(self._plan.objectives))
        known = {"reason": trial.outcome.reason, "reused": trial.reused}
        lineage = self._lineages(trial.number)
        frozen.user_attrs = {
            "lineage": lineage,
            **{key: value for key, value in known.items() if value is not None},
            **trial.outcome.metrics,
        }
        frozen.datetime_start, frozen.datetime_complete = self._times(lineage, frozen)
        return frozen

    def _times(self, lineage: str, frozen: FrozenTrial) -> tuple[datetime | None, datetime | None]:
        """Start and end of the last run of the trial, as the journal has them."""
        records = [attempt.record for attempt in attempts(self._root, lineage)]
        done = [record for record in records if "ended" in record]
        if not done:
            return frozen.datetime_start, frozen.datetime_complete
        return _local(done[-1]["started"]), _local(done[-1]["ended"])


def open_storage(root: Path) -> JournalStorage:
    """The storage of the repository; the end of a write that a kill cut short is removed."""
    path = root / STORAGE
    (root / ".assay").mkdir(exist_ok=True)
    lock = _KernelLock(FileLock(root / ".assay" / f"{STORAGE}.lock", timeout=PATIENCE))
    lock.acquire()
    try:
        _drop_partial_line(path)
    finally:
        lock.release()
    with quiet_optuna():
        return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))


class _KernelLock(JournalFileOpenLock):
    """A lock that is released when its process ends; Optuna's own would stay behind after a kill."""

    def __init__(self, lock: FileLock) -> None:
        self._lock = lock

    def acquire(self) -> bool:
        self._lock.acquire()
        return True

    def release(self) -> None:
        self._lock.release()


def _drop_partial_line(path: Path) -> None:
    if not path.is_file():
        return
    with path.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        whole = file.read().rfind(b"\n") + 1
        if whole < size:
            file.truncate(whole)


def _local(moment: str) -> datetime:
    """Optuna's times are local ones without a zone."""
    return datetime.fromisoformat(moment).astimezone().replace(tzinfo=None)
