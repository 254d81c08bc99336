"""The training that ``debug=…`` derives from another one: fewer images, fewer epochs, no regularization."""

import math
from dataclasses import replace

import numpy as np

from src.config.schema.augment import Augment
from src.config.schema.debug import Anomaly, Debug, OneBatch, Overfit, Profile, SmallData
from src.core.seeds import derive_seed
from src.training.task import Rows, TrainingTask

REPEATS = 10  # of each image in an epoch of overfit: validation and checkpoint would cost more than a step
# Averages lag behind the weights, and class weights and smooth targets hide whether an image was learned.
PLAIN = {
    **{"label_smoothing": 0.0, "mixup": 0.0, "cutmix": 0.0, "l1": 0.0, "ema_decay": 0.0, "swa_start": 0.0},
    **{"class_weights": "none", "sampler": "shuffle", "patience": 0, "monitor": "val/accuracy"},
}


def smaller_task(task: TrainingTask, debug: Debug) -> TrainingTask:
    """The training that ``debug`` asks for instead of ``task``."""
    size = task.train.batch_size
    match debug:
        case OneBatch():
            return _with(task, _spread(task, task.train_rows, size), _spread(task, task.val_rows, size), 1)
        case SmallData():
            share = debug.share
            return _with(task, _share(task, task.train_rows, share), _share(task, task.val_rows, share))
        case Overfit():
            return _overfit(task, debug)
        case Profile():
            rows = _spread(task, task.train_rows, debug.steps * size)
            return _with(task, rows, task.val_rows, math.ceil(debug.steps / max(len(rows) // size, 1)))
        case Anomaly():
            return task


def _overfit(task: TrainingTask, debug: Overfit) -> TrainingTask:
    """A few images of each class, which validate too, without augmentation and regularization."""
    rows = np.sort(task.train_rows[_places(task, task.train_rows) < debug.images])
    optimizer = task.train.optimizer.model_copy(update={"weight_decay": 0.0})
    random = [name for name in ("dropout", "drop_path") if name in type(task.model).model_fields]
    plain = replace(
        task,
        model=task.model.model_copy(update=dict.fromkeys(random, 0.0)),
        augment=Augment(operations=[]),
        train=task.train.model_copy(update={**PLAIN, "optimizer": optimizer}),
    )
    return _with(plain, np.tile(rows, REPEATS), rows, debug.epochs)


def _with(task: TrainingTask, train_rows: Rows, val_rows: Rows, epochs: int | None = None) -> TrainingTask:
    train = task.train if epochs is None else task.train.model_copy(update={"epochs": epochs})
    return replace(task, train=train, train_rows=train_rows, val_rows=val_rows)


def _spread(task: TrainingTask, rows: Rows, count: int) -> Rows:
    """At most ``count`` rows, about the same number of each class."""
    return np.sort(rows[np.argsort(_places(task, rows), kind="stable")[:count]])


def _share(task: TrainingTask, rows: Rows, share: float) -> Rows:
    """That share of each class, at least one image."""
    targets = task.targets[rows]
    return np.sort(rows[_places(task, rows) < np.ceil(share * np.bincount(targets)[targets])])


def _places(task: TrainingTask, rows: Rows) -> Rows:
    """The place of each row (n,) among those of its class, 0 is the first, in random order."""
    targets = task.targets[rows]
    shuffled = np.random.default_rng(derive_seed(task.seed, "debug")).permutation(len(rows))
    places = np.empty(len(rows), dtype=np.int64)
    for target in np.unique(targets):
        of_class = shuffled[targets[shuffled] == target]
        places[of_class] = np.arange(len(of_class))
    return places
