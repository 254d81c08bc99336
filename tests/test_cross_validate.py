"""Which rows a fold trains on, chooses by and is tested on, and what a fold reads of the configuration."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from src.config.loading import load
from src.core.errors import AssayError
from src.cross_validation.fold_tasks import make_tasks
from src.data.dataset.index import read_index
from src.data.splitting.assignment.rule import SplitRule
from src.data.splitting.assignment.rule_file import read_rule, write_rule
from src.data.splitting.splits import divide
from src.pipeline.paths import INGEST, SPLIT
from src.provenance.journal import INHERITED
from tests.support.workspaces import ROOT

RECORD = {
    "stage": "cross_validate",
    "lineage": "parent",
    "params": {"train.epochs": 2, "seed": 0},
    **dict.fromkeys(INHERITED),
}
ROWS = 400


def config_of(monkeypatch, *overrides, folds=4):
    """A loaded configuration with two-epoch folds."""
    with monkeypatch.context() as place:
        place.chdir(ROOT)
        return load(["experiment=tiny", f"split.folds={folds}", *overrides])


@pytest.fixture(params=["stratified", "stable"])
def data(tmp_path, monkeypatch, request):
    """Four classes in groups of up to three images, of which some are equal, split as the pipeline does."""
    random = np.random.default_rng(0)
    numbers = np.where(random.random(ROWS) < 0.05, random.integers(0, ROWS, ROWS), np.arange(ROWS))
    columns = {
        "id": np.arange(ROWS),
        "source": [f"{row}.png" for row in range(ROWS)],
        "target": random.integers(0, 4, ROWS),
        "sha256": [f"{number:064d}" for number in numbers],
        "given_split": pa.array([None] * ROWS, pa.string()),
        "group": [f"group {row // 3}" for row in range(ROWS)],
        "subject": pa.array([None] * ROWS, pa.string()),
        "file_sha256": [f"{row:064d}" for row in range(ROWS)],
    }
    monkeypatch.chdir(tmp_path)
    for folder in ("data/ingest", "data/split"):
        Path(folder).mkdir(parents=True)
    parquet.write_table(pa.table(columns), "data/ingest/manifest.parquet")
    Path("data/ingest/report.json").write_text(json.dumps({"classes": list("abcd")}))
    rows = read_index(Path("data/ingest"))
    division = divide(rows, SplitRule(request.param), val=0.15, test=0.2, folds=4, seed=0)
    table = {"id": rows.ids, "split": division.splits.tolist(), "fold": division.folds}
    parquet.write_table(pa.table(table), "data/split/splits.parquet")
    write_rule(Path("data/split"), SplitRule(request.param))
    return rows, division.splits


def tasks_of(monkeypatch, *overrides, folds=4):
    config = config_of(monkeypatch, *overrides, folds=folds)
    return make_tasks(config, INGEST, SPLIT, Path("state"), Path("root"), RECORD)


def parts(task):
    return [set(rows.tolist()) for rows in (task.train_rows, task.val_rows, task.test_rows)]


def test_test_rows_are_in_no_fold_and_the_parts_of_a_fold_are_disjoint(data, monkeypatch):
    rows, splits = data
    pool = set(np.flatnonzero(np.isin(splits, ("train", "val"))).tolist())
    tasks = tasks_of(monkeypatch, "cross_validate.repeats=3")
    assert [(task.repeat, task.fold) for task in tasks] == [(r, f) for r in range(3) for f in range(4)]
    for task in tasks:
        train, val, test = parts(task)
        assert train and val and test
        assert not (train & val or train & test or val & test)
        assert_nearly(train | val | test, pool)
        for names in (rows.group_names, rows.digests.tolist()):  # what belongs together lies on one side
            sides = [{names[row] for row in part} for part in (train, val, test)]
            assert not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])
    for repeat in range(3):
        tested = [row for task in tasks if task.repeat == repeat for row in task.test_rows.tolist()]
        assert len(tested) == len(set(tested))
        assert_nearly(set(tested), pool)


def assert_nearly(found, pool):
    """All of the pool; in a stable split but for copies of images that are on another side."""
    if read_rule(SPLIT).method == "stratified":
        assert found == pool
    else:
        assert found <= pool and len(found) > 0.9 * len(pool)


def test_the_first_repeat_has_the_folds_of_the_split_and_the_others_have_their_own(data, monkeypatch):
    folds = parquet.read_table("data/split/splits.parquet")["fold"].to_numpy()
    tasks = tasks_of(monkeypatch, "cross_validate.repeats=2")
    for task in tasks[:4]:
        assert task.test_rows.tolist() == np.flatnonzero(folds == task.fold).tolist()
    assert not any(parts(tasks[fold])[2] == parts(tasks[4 + fold])[2] for fold in range(4))
    assert len({task.seed for task in tasks}) == len({task.lineage for task in tasks}) == 8


def test_an_ad_hoc_number_of_folds_divides_the_same_images(data, monkeypatch):
    pool = set(np.flatnonzero(np.isin(data[1], ("train", "val"))).tolist())
    tasks = tasks_of(monkeypatch, folds=3)
    assert_nearly(set.union(*(parts(task)[2] for task in tasks)), pool)
    assert len(tasks) == 3


def test_the_early_stopping_part_has_its_share(data, monkeypatch):
    for task in tasks_of(monkeypatch, "cross_validate.val=0.3"):
        assert len(task.val_rows) / (len(task.train_rows) + len(task.val_rows)) == pytest.approx(
            0.3, abs=0.05
        )


def test_threads_and_proxy_reach_the_training_and_its_record(data, monkeypatch):
    proxy = "+cross_validate.proxy={train.epochs: 7, model.dropout: 0.25, normalize.method: minmax}"
    task = tasks_of(
        monkeypatch, proxy, "cross_validate.threads=2", "train.threads=1", "train.precision=fp32"
    )[0]
    assert (task.train.epochs, task.train.threads, task.model.dropout) == (7, 2, 0.25)
    assert task.sample.normalize == "minmax"
    assert task.record["params"]["train.epochs"] == 7
    assert task.record["parent"] == "parent" and task.record["name"] == "fold-0-0"


@pytest.mark.parametrize(
    ("proxy", "message"),
    [
        ("{train.epoch: 7}", r"cross_validate\.proxy: no such field: train\.epoch"),
        (
            "{data.image_size: [4, 4]}",
            r"cross_validate\.proxy: data\.image_size: a fold reads only model, augment",
        ),
        ("{train.epochs: 0}", r"train\.epochs=0: expected at least 1"),
    ],
)
def test_an_impossible_proxy_is_refused_by_name(data, monkeypatch, proxy, message):
    with pytest.raises(AssayError, match=message):
        tasks_of(monkeypatch, f"+cross_validate.proxy={proxy}")
