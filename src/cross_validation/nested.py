"""A search inside the training part of a fold, so that the fold's own images do not choose its settings."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock

from src.core.errors import AssayError
from src.core.seeds import derive_seed
from src.cross_validation.fold_task import FoldTask
from src.cross_validation.fold_tasks import fold_configuration
from src.cross_validation.worker import run_fold_in_worker
from src.data.dataset.index import DatasetIndex
from src.data.splitting.assignment.rule import SplitRule
from src.search.engine.executor import InProcessRunner
from src.search.engine.ranking import best
from src.search.engine.records import Settings
from src.search.engine.study import run_search
from src.search.engine.trial_configs import TrialConfigs, make_plan
from src.search.engine.trial_task import Folds
from src.search.engine.trial_tasks import TrialTasks, make_folds

if TYPE_CHECKING:
    from src.config.loading import LoadedConfig


@dataclass(frozen=True)
class NestedFold:
    """A fold whose settings have to be found first."""

    loaded: "LoadedConfig"  # the configuration that the search starts from
    task: FoldTask  # with the settings of that configuration
    parts: Folds  # of the training part: rows that train a trial, and rows that choose

    @property
    def folder(self) -> Path:
        """Where the search keeps its trials."""
        return self.task.outcome.with_name(f"{self.task.name}-search")


def nested_fold(loaded: "LoadedConfig", task: FoldTask, rows: DatasetIndex, rule: SplitRule) -> NestedFold:
    """Trials are measured on the images that choose the fold's epoch; with ``sweep.folds`` on inner folds.

    Raises:
        AssayError: the search would choose whole groups, or the images are too few for its folds.
    """
    if TrialConfigs(loaded).space.groups:
        raise AssayError(
            "cross_validate.nested=true searches single fields, not whole groups: take "
            f"{', '.join(TrialConfigs(loaded).space.groups)} out of sweep.space"
        )
    folds = loaded.config.sweep.folds
    if not folds:
        return NestedFold(loaded, task, ((task.train_rows, task.val_rows),))
    splits = np.full(len(rows), "dropped", dtype="<U7")
    splits[np.concatenate([task.train_rows, task.val_rows])] = "train"
    return NestedFold(loaded, task, make_folds(rows, splits, folds, derive_seed(task.seed, "search"), rule))


def search_and_train(nested: NestedFold) -> None:
    """Search in this process, then train and test with what was found; finished trials survive a kill.

    Raises:
        AssayError: no trial succeeds, or the training cannot be done.
    """
    task = nested.task
    nested.folder.mkdir(parents=True, exist_ok=True)
    # An orphan of a killed parent may still be at work here until its epoch ends.
    with FileLock(f"{nested.folder}.lock"):
        if not task.outcome.is_file():
            task = _with_settings(nested, _search(nested))
            shutil.rmtree(nested.folder / "running", ignore_errors=True)
    run_fold_in_worker(task)


def _search(nested: NestedFold) -> Settings:
    task, candidates = nested.task, TrialConfigs(nested.loaded)
    plan = make_plan(candidates, derive_seed(task.seed, "search"))
    tasks = TrialTasks(candidates, task.sample, nested.parts, nested.folder, task.root, task.record)
    try:
        trials = run_search(plan, InProcessRunner(tasks), nested.folder / "trials")
        return best(trials, plan.objectives, plan.constraints).settings
    except AssayError as error:
        raise AssayError(f"fold {task.fold} of repeat {task.repeat}: {error}") from error


def _with_settings(nested: NestedFold, settings: Settings) -> FoldTask:
    """The fold's task with the settings that its own search found."""
    task, config = nested.task, fold_configuration(nested.loaded, settings)
    params: dict[str, Any] = {**task.record["params"], **settings, **config.cross_validate.proxy}
    return replace(
        task,
        model=config.model,
        augment=config.augment,
        train=config.train,
        settings=settings,
        record={**task.record, "params": params},
    )
