"""A search inside each training part, and what the search outside does that it does not."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from src.config.loading import LoadedConfig, compose
from src.config.validation import validate_config
from src.core.errors import AssayError
from src.cross_validation.fold import read_fold, run_fold
from src.cross_validation.fold_tasks import FoldTasks, fold_configuration
from src.cross_validation.nested import nested_fold, search_and_train
from src.data.dataset.index import read_index, read_split
from src.data.splitting.assignment.rule import SplitRule
from src.data.splitting.assignment.rule_file import write_rule
from src.provenance.journal import INHERITED
from src.search.engine.executor import InProcessRunner
from src.search.engine.ranking import best
from src.search.engine.study import run_search
from src.search.engine.trial_configs import TrialConfigs, make_plan
from src.search.engine.trial_tasks import TrialTasks, read_trial_data
from tests.support.training_tasks import digits
from tests.support.workspaces import ROOT

RECORD = {"stage": "cross_validate", "lineage": "parent", "params": {}, **dict.fromkeys(INHERITED)}
IMAGES, FOLDS = 800, 2
MIRRORED = [{"name": "flip", "axis": "horizontal", "p": 1.0}]


def loaded_of(monkeypatch, **sweep):
    """Train on the images as they are, or on mirrored ones: eight epochs of a tiny network."""
    with monkeypatch.context() as place:
        place.chdir(ROOT)
        training = ("train.epochs=8", "train.batch_size=32", "train.optimizer.lr=0.01", "augment=none")
        values = compose(["experiment=tiny", "train.precision=fp32", f"split.folds={FOLDS}", *training])
    values["sweep"] |= {
        "method": "grid",
        "space": {"augment.operations": "choice([], [{name: flip, axis: horizontal, p: 1.0}])"},
        "proxy": {},
        "pruner": "none",
        **sweep,
    }
    return LoadedConfig(validate_config(values, "the test"), values)


@pytest.fixture
def mirrored(tmp_path, monkeypatch):
    """Digits of which all validation images are mirrored: which of them are is returned, (N,)."""
    images, labels = digits()
    part = np.random.default_rng(0).integers(0, 8, IMAGES)
    images, labels = images[:IMAGES], labels[:IMAGES]
    images[part == 1] = images[part == 1][..., ::-1]
    monkeypatch.chdir(tmp_path)
    for folder in ("data/ingest", "data/split"):
        Path(folder).mkdir(parents=True)
    np.save("data/ingest/images.npy", images)
    none = pa.array([None] * IMAGES, pa.string())
    names = [f"{row:064d}" for row in range(IMAGES)]
    columns = {"id": np.arange(IMAGES), "source": names, "target": labels, "sha256": names}
    table = pa.table({**columns, "given_split": none, "group": none})
    parquet.write_table(table, "data/ingest/manifest.parquet")
    Path("data/ingest/report.json").write_text(json.dumps({"classes": [str(digit) for digit in range(10)]}))
    splits = np.array(["test", "val", *["train"] * 6])[part]
    folds = np.where(part == 0, -1, np.arange(IMAGES) % FOLDS)
    columns = {"id": np.arange(IMAGES), "split": splits.tolist(), "fold": folds}
    parquet.write_table(pa.table(columns), "data/split/splits.parquet")
    write_rule(Path("data/split"), SplitRule())
    return part == 1


def tasks_of(loaded, settings, state):
    config = fold_configuration(loaded, settings)
    rows = read_index(Path("data/ingest"))
    return FoldTasks(
        config, rows, Path("data/ingest/images.npy"), Path("data/split"), Path(state), Path("journal"), RECORD
    ).all(), rows


def search_outside(loaded):
    """What the stage sweep would find on the validation images."""
    candidates = TrialConfigs(loaded)
    plan = make_plan(candidates, 0)
    tasks = TrialTasks(
        candidates,
        *read_trial_data(loaded.config, Path("data/ingest"), Path("data/split"), Path("features")),
        Path("sweep"),
        Path("journal"),
        RECORD,
    )
    trials = run_search(plan, InProcessRunner(tasks), Path("sweep/trials"))
    return best(trials, plan.objectives, plan.constraints).settings


def accuracy(results, chosen):
    """Over the held-out images that are ``chosen`` (N,), of all folds."""
    hits = [(r.logits.argmax(axis=1) == r.targets)[chosen[r.ids]] for r in results]
    return float(np.concatenate(hits).mean())


@pytest.mark.slow
def test_odd_images_in_the_validation_split_flatters_a_search_outside_and_not_one_inside(
    mirrored, monkeypatch
):
    loaded = loaded_of(monkeypatch)
    found = search_outside(loaded)
    assert found == {"augment.operations": MIRRORED}
    outside = [run_fold(task) for task in tasks_of(loaded, found, "outside")[0]]
    tasks, rows = tasks_of(loaded, {}, "inside")
    for task in tasks:
        search_and_train(nested_fold(loaded, task, rows, SplitRule()))
    inside = [read_fold(task.outcome) for task in tasks]
    assert [result.settings for result in inside] == [{"augment.operations": []}] * FOLDS
    # the images that chose the settings look better than they should, and all others pay for it
    assert accuracy(outside, mirrored) > accuracy(inside, mirrored) + 0.1
    assert accuracy(inside, ~mirrored) > accuracy(outside, ~mirrored) + 0.1


@pytest.mark.slow
def test_finished_trials_survive_and_the_fold_ends_with_the_same_bytes(mirrored, monkeypatch):
    loaded = loaded_of(monkeypatch)
    tasks, rows = tasks_of(loaded, {}, "state")
    nested = nested_fold(loaded, tasks[0], rows, SplitRule())
    search_and_train(nested)
    whole = tasks[0].outcome.read_bytes()
    first, second = sorted((nested.folder / "trials").glob("*.json"))
    written, content = first.stat().st_mtime_ns, second.read_text()
    second.unlink()
    tasks[0].outcome.unlink()
    search_and_train(nested)
    assert first.stat().st_mtime_ns == written, "a finished trial is not done again"
    assert second.read_text() == content
    assert tasks[0].outcome.read_bytes() == whole


def test_the_search_sees_the_training_part_only(mirrored, monkeypatch):
    for folds in (0, 2):
        loaded = loaded_of(monkeypatch, folds=folds)
        tasks, rows = tasks_of(loaded, {}, "state")
        split, _ = read_split(Path("data/split"), Path("data/ingest"))
        for task in tasks:
            nested = nested_fold(loaded, task, rows, SplitRule())
            assert len(nested.parts) == max(folds, 1)
            part = set(task.train_rows.tolist()) | set(task.val_rows.tolist())
            for train, val in nested.parts:
                assert set(train.tolist()) | set(val.tolist()) == part
                assert not set(train.tolist()) & set(val.tolist())
            assert not part & set(task.test_rows.tolist())
            assert "test" not in split[sorted(part)]


def test_a_search_in_which_all_trials_fail_names_the_fold(mirrored, monkeypatch):
    space = {"train.optimizer.lr": "choice(1e30, 1e31)", "train.optimizer.name": "choice(sgd)"}
    loaded = loaded_of(monkeypatch, space=space, max_failures=2)
    tasks, rows = tasks_of(loaded, {}, "state")
    with pytest.raises(AssayError, match=r"^fold 1 of repeat 0: "):
        search_and_train(nested_fold(loaded, tasks[1], rows, SplitRule()))


def test_whole_groups_are_refused_by_name(mirrored, monkeypatch):
    loaded = loaded_of(monkeypatch)
    space = {"model": "choice(cnn, lenet)", **loaded.config.sweep.space}
    tasks, rows = tasks_of(loaded, {}, "state")
    with monkeypatch.context() as place:
        place.chdir(ROOT)
        ad_hoc = ("experiment=tiny",)
        loaded = LoadedConfig(
            validate_config({**loaded.values, "sweep": {**loaded.values["sweep"], "space": space}}, "it"),
            loaded.values,
            ad_hoc,
        )
        with pytest.raises(AssayError, match=r"take model out of sweep\.space"):
            nested_fold(loaded, tasks[0], rows, SplitRule())
