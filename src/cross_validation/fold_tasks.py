"""The folds of a cross-validation: as tasks for workers, and as records of the journal."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from src.config.dotted_keys import is_under, set_dotted
from src.core.errors import AssayError
from src.core.hashing import json_hash
from src.core.seeds import derive_seed
from src.cross_validation.fold_task import FoldTask
from src.data.dataset.index import DatasetIndex, read_index, read_split
from src.data.splitting.assignment.folds import fold_rows, hold_out
from src.data.splitting.assignment.rule import SplitRule
from src.data.splitting.assignment.rule_file import read_rule
from src.provenance.journal import child_record
from src.training.features import FEATURES
from src.training.subset_task import SharedDataset

if TYPE_CHECKING:
    from src.config.loading import LoadedConfig
    from src.config.schema import Config

SECTIONS = ("model", "augment", "train", "normalize")  # what a fold reads
FoldIds = NDArray[np.int64]


def fold_configuration(loaded: "LoadedConfig", settings: dict[str, Any]) -> "Config":
    """The configuration of a fold with the ``settings`` that a search inside it found.

    Raises:
        AssayError: cross_validate.proxy cannot be applied.
    """
    proxy = loaded.config.cross_validate.proxy
    foreign = [key for key in proxy if not is_under(key, SECTIONS)]
    if foreign:
        raise AssayError(
            f"cross_validate.proxy: {', '.join(foreign)}: a fold reads only {', '.join(SECTIONS)}, so this "
            "would change nothing. Remove it"
        )
    values = set_dotted(loaded.values, settings)
    try:
        values = set_dotted(values, proxy)
    except AssayError as error:
        raise AssayError(f"cross_validate.proxy: {error}. The fields are in conf/") from error
    values["train"]["threads"] = loaded.config.cross_validate.threads
    return loaded.check(values, "params.yaml with cross_validate.proxy")


@dataclass(frozen=True)
class FoldTasks:
    """Makes the task of each fold."""

    config: "Config"  # of a fold
    rows: DatasetIndex
    images: Path  # file of the image array
    split: Path  # folder of the split
    state: Path  # survives a kill
    root: Path  # of the repository
    record: dict[str, Any]  # of the stage, in the journal

    def all(self) -> list[FoldTask]:
        """The tasks of all repeats, in order.

        Raises:
            AssayError: the images are too few.
        """
        rule = read_rule(self.split)
        return [
            self._task(folds, repeat, fold, rule)
            for repeat, folds in enumerate(self._folds(rule))
            for fold in range(self.config.split.folds)
        ]

    def _folds(self, rule: SplitRule) -> list[FoldIds]:
        """For each repeat the fold of each row, (N,); the first repeat has the folds of the split."""
        split, first = read_split(self.split, self.images.parent)
        folds, seed = self.config.split.folds, self.config.seed
        if first.max() + 1 != folds:  # an ad-hoc run with another number than params.yaml
            first = fold_rows(self.rows, split, folds, seed, rule)
        others = range(1, self.config.cross_validate.repeats)
        return [
            first,
            *(
                fold_rows(self.rows, split, folds, derive_seed(seed, "repeat", repeat), rule)
                for repeat in others
            ),
        ]

    def _task(self, folds: FoldIds, repeat: int, fold: int, rule: SplitRule) -> FoldTask:
        """``folds``: (N,), -1 for test and dropped rows, which belong to no fold."""
        config, seed = self.config, derive_seed(self.config.seed, "fold", repeat, fold)
        part = np.flatnonzero((folds >= 0) & (folds != fold))
        trains, chooses = hold_out(self.rows, part, config.cross_validate.val, seed, rule)
        method, features = config.normalize.method, self.root / FEATURES
        sample = SharedDataset(self.images, self.rows.targets, self.rows.classes, method, features)
        return FoldTask(
            repeat=repeat,
            fold=fold,
            sample=sample,
            model=config.model,
            augment=config.augment,
            train=config.train,
            train_rows=trains,
            val_rows=chooses,
            test_rows=np.flatnonzero(folds == fold),
            seed=seed,
            settings={},
            state=self.state,
            batch_size=config.evaluate.batch_size,
            device=config.machine.device,
            root=self.root,
            record=fold_record(self.record, repeat, fold, config.cross_validate.proxy),
        )


def make_tasks(
    loaded: "LoadedConfig", ingest: Path, split: Path, state: Path, root: Path, record: dict[str, Any]
) -> list[FoldTask]:
    """The tasks of a whole cross-validation, see :class:`FoldTasks`; ``ingest`` and ``split`` are folders."""
    config = fold_configuration(loaded, {})
    return FoldTasks(config, read_index(ingest), ingest / "images.npy", split, state, root, record).all()


def fold_record(parent: dict[str, Any], repeat: int, fold: int, proxy: dict[str, Any]) -> dict[str, Any]:
    """The journal's record of a fold before it begins; ``parent`` is the record of the stage."""
    lineage = json_hash([parent["lineage"], "fold", repeat, fold])
    params = {**parent["params"], **proxy}
    tags = {"fold.repeat": str(repeat), "fold.number": str(fold)}
    return child_record(parent, "fold", f"fold-{repeat}-{fold}", lineage, params, tags)
