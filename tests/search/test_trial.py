"""One trial: it is measured and reported by the metric that the search is for."""

from dataclasses import replace

import numpy as np
import pytest

from src.search.engine.pruning import EarlierTrial, make_pruner_spec
from src.search.engine.trial import train_trial
from src.search.engine.trial_task import TrialTask
from src.training.subset_task import SharedDataset
from tests.support.feature_models import feature_model, write_weights
from tests.support.searches import make_plan
from tests.support.training_tasks import digits_task


def trial(folder, folds, **changes) -> TrialTask:
    settings = {"model": {"widths": [8]}, "optimizer": {"lr": 0.02}, "schedule": {"warmup": 0.2}}
    base = digits_task(**settings, train={"epochs": 3, "precision": "fp32", "monitor": "val/loss"})
    np.save(folder / "images.npy", base.images)
    rows = np.arange(700)
    parts = tuple((rows[rows % folds != fold], rows[rows % folds == fold]) for fold in range(folds))
    values = {
        "number": 0,
        "sample": SharedDataset(folder / "images.npy", base.targets, base.classes, "standard"),
        "model": base.model,
        "augment": base.augment,
        "train": base.train,
        "folds": parts if folds > 2 else parts[:1],
        "seed": 0,
        "objective": "val/recall/3",
        "mean_of_folds": True,
        "pruner": make_pruner_spec(make_plan(), 0, ()),
        "state": folder / "state",
        "device": "cpu",
        "root": folder,
        "record": {},
        "metrics": ("val/recall/3", "val/f1_macro"),
    }
    return TrialTask(**values | changes)


def test_a_trial_reports_its_objective_after_every_epoch(tmp_path):
    outcome = train_trial(trial(tmp_path, 2))
    assert (outcome.state, outcome.reason) == ("complete", None)
    assert list(outcome.steps) == [1, 2, 3]
    assert {"val/loss", "val/accuracy", "val/recall/3", "val/f1_macro"} <= outcome.metrics.keys()
    assert outcome.metrics["val/recall/3"] in outcome.steps.values()  # that of the best epoch, by val/loss


def test_a_trial_on_folds_reports_the_mean(tmp_path):
    outcome = train_trial(trial(tmp_path, 3))
    assert list(outcome.steps) == [1, 2, 3]
    assert outcome.steps[3] == pytest.approx(outcome.metrics["val/recall/3"])


def fitted_trial(folder, name, **changes) -> TrialTask:
    """A fit of ``name`` on features of the tiny network; its weights are where a pipeline has them."""
    (folder / "data/ingest").mkdir(parents=True)
    sample = trial(folder / "data/ingest", 2).sample
    write_weights(folder / "data/weights")
    objective = {"objective": "val/accuracy", "metrics": ()}
    return replace(trial(folder, 2, sample=sample), model=feature_model(name), **objective, **changes)


def test_a_fitted_trial_is_measured_with_what_it_keeps(tmp_path):
    outcome = train_trial(fitted_trial(tmp_path, "knn"))
    assert outcome.state == "complete"
    assert outcome.metrics["model/bytes"] > 350 * 128 * 4, "350 images with their features"
    assert list(outcome.steps) == [1]


def test_a_fitted_trial_is_never_pruned(tmp_path):
    """It ends with its first report, whatever train.epochs says."""
    better = tuple(EarlierTrial(number, "complete", 2.0, {1: 2.0}, {}, {}) for number in range(9))
    pruner = make_pruner_spec(make_plan(pruner="median", max_steps=3), 9, better)
    assert train_trial(fitted_trial(tmp_path / "fit", "knn", pruner=pruner)).state == "complete"
    (tmp_path / "cnn").mkdir()
    assert train_trial(trial(tmp_path / "cnn", 2, pruner=pruner)).state == "pruned"


def test_an_objective_of_an_unknown_class_fails_the_trial_with_the_reason(tmp_path):
    outcome = train_trial(trial(tmp_path, 2, metrics=("val/recall/three",), objective="val/recall/three"))
    assert outcome.state == "failed"
    assert outcome.reason is not None and "no class is called three" in outcome.reason
