"""split.calibration: images that a temperature and a decision rule are fitted to, and nothing else."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml

from src import train
from src.auditing.checks.data import _disjoint
from src.auditing.verdict import CheckLog
from src.compression.variant import make_variant, read_context
from src.config.validation import validate_config
from src.core.errors import AssayError
from src.data.dataset.arrays import pixel_hash
from src.data.dataset.index import read_calibration, read_held_out, read_training_rows
from src.data.splitting.assignment.rule import SplitRule
from src.data.splitting.assignment.rule_file import write_rule
from src.data.splitting.leakage import near_duplicates
from src.data.splitting.splits import divide
from src.models.saving import load_model, save_model
from src.search.engine.trial_tasks import read_trial_data
from src.training.task import read_task
from tests.data.test_splits import rows_of
from tests.data.test_stable_splits import Picture, index_of
from tests.support.models_on_disk import write_base, write_data
from tests.support.workspaces import ROOT

SHARES = {"val": 0.2, "test": 0.25, "folds": 3}
INGEST, SPLIT, BASE = Path("data/ingest"), Path("data/split"), Path("models/base")


def test_stratified_sets_the_share_of_each_class_apart():
    rows = rows_of([60, 40, 25])
    splits = divide(rows, SplitRule(), **SHARES, calibration=0.2, seed=3).splits
    for target, size in enumerate((60, 40, 25)):
        of_class = splits[rows.targets == target].tolist()
        assert abs(of_class.count("calibration") - 0.2 * size) < 1
        assert abs(of_class.count("val") - 0.2 * size) < 1


@pytest.mark.parametrize("calibration", [0.1, 0.3])
def test_stable_takes_it_from_the_training_images_alone(calibration):
    rows = index_of([Picture(number, 10 * number, number % 2) for number in range(2000)])
    before, after = (
        divide(rows, SplitRule("stable"), **SHARES, calibration=share, seed=0).splits
        for share in (0.0, calibration)
    )
    apart = after == "calibration"
    assert abs(apart.mean() - calibration) < 0.04
    assert set(before[apart].tolist()) == {"train"}
    assert np.array_equal(before[~apart], after[~apart])


@pytest.mark.parametrize("method", ["stratified", "stable"])
def test_subjects_are_whole_and_no_fold_has_an_image_of_it(method):
    pictures = [Picture(n, 10 * n, n % 2, subject=f"s{n // 6}") for n in range(900)]
    division = divide(index_of(pictures), SplitRule(method), **SHARES, calibration=0.2, seed=1)
    apart = division.splits == "calibration"
    assert apart.any() and (division.folds[apart] == -1).all()
    inside = np.isin(division.splits, ("train", "val"))
    assert (division.folds[inside] >= 0).all()
    subjects = np.array([picture.subject for picture in pictures])
    assert not set(subjects[apart]) & set(subjects[~apart])


def test_too_large_shares_are_refused_together():
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    values["split"] |= {"val": 0.3, "test": 0.3, "calibration": 0.4}
    with pytest.raises(AssayError, match=r"split.calibration: val \+ test \+ calibration must be below 1"):
        validate_config(values, "params.yaml")


def settings(**decision):
    """params.yaml for a training of a second in this process, which is not held to AVX2."""
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    values["model"] = {"kind": "lenet", "activation": "relu", "dropout": 0.0}
    values["train"] |= {"precision": "fp32", "threads": 1, "epochs": 2}
    values["normalize"]["method"] = "none"
    values["compress"]["variants"] = {"onnx_fp32": {"steps": [{"name": "export"}]}}
    values["evaluate"]["decision"] |= decision
    return validate_config(values, "params.yaml")


def sharpen(base):
    """Let an untrained network have clear opinions, so that its best temperature depends on the labels."""
    network, spec = load_model(base)
    for parameter in list(network.parameters())[-2:]:
        parameter.data *= 100
    save_model(base, network, spec)


@pytest.fixture
def apart(tmp_path, monkeypatch):
    """Images on disk, a quarter of each split's rows set apart; the current folder. Returns these rows."""
    root = tmp_path / "repository"
    write_data(root)
    write_base(root)
    sharpen(root / BASE)
    manifest = root / INGEST / "manifest.parquet"
    rows = pd.read_parquet(manifest)
    rows.assign(sha256=[f"{row:064x}" for row in rows["id"]]).to_parquet(manifest, index=False)
    path = root / SPLIT / "splits.parquet"
    splits = pd.read_parquet(path)
    splits["split"] = np.array(["train", "val", "test", "calibration"])[splits["id"] % 4]
    splits["fold"] = np.where(splits["id"] % 4 < 2, splits["id"] % 3, -1)
    splits.to_parquet(path, index=False)
    write_rule(root / SPLIT, SplitRule())
    (root / "data/normalize/normalization.json").write_text(json.dumps({"shift": [0.3], "scale": [0.4]}))
    monkeypatch.chdir(root)
    return splits["id"][splits["split"] == "calibration"].to_numpy()


def context(config, state):
    return read_context(
        *(BASE, INGEST, SPLIT),
        train=config.train,
        augment=config.augment,
        seed=0,
        threads=1,
        device="cpu",
        weights=Path("data/weights"),
        features=None,
        state=state,
        show=False,
        say=lambda line: None,
    )


def rows_of_training(config):
    task, _ = read_task(
        *(config.model, config.augment, config.train, 0),
        *(INGEST, SPLIT, Path("data/normalize"), Path("data/weights")),
    )
    return task.train_rows, task.val_rows


def rows_of_search(config, folds):
    config = config.model_copy(update={"sweep": config.sweep.model_copy(update={"folds": folds})})
    return [rows for fold in read_trial_data(config, INGEST, SPLIT, Path("features"))[1] for rows in fold]


def rows_of_compression(config):
    found = context(config, Path("state"))
    return found.train_rows, found.val_rows, read_held_out(INGEST, SPLIT).ids


READERS = {
    "normalize": lambda _: [read_training_rows(SPLIT, INGEST)],
    "train": rows_of_training,
    "sweep": lambda config: rows_of_search(config, 0),
    "sweep with folds": lambda config: rows_of_search(config, 2),
    "compress": rows_of_compression,
}


@pytest.mark.parametrize("reader", READERS)
def test_no_training_and_no_choice_reads_it(apart, reader):
    found = np.concatenate([*READERS[reader](settings())])
    assert len(found) and not np.isin(found, apart).any()


def test_without_it_the_validation_images_fit(apart):
    assert read_calibration(INGEST, SPLIT).ids.tolist() == apart.tolist()
    path = SPLIT / "splits.parquet"
    splits = pd.read_parquet(path)
    splits.replace({"split": {"calibration": "train"}}).to_parquet(path, index=False)
    fitting = read_calibration(INGEST, SPLIT)
    assert (fitting.split, fitting.ids.tolist()) == ("val", [n for n in range(400) if n % 4 == 1])


def shuffle_labels(of_split):
    """Other labels for the images of one split."""
    path, random = INGEST / "manifest.parquet", np.random.default_rng(1)
    rows = pd.read_parquet(SPLIT / "splits.parquet")["split"] == of_split
    manifest = pd.read_parquet(path)
    manifest.loc[rows, "target"] = random.permutation(manifest.loc[rows, "target"].to_numpy())
    manifest.to_parquet(path, index=False)


@dataclass
class Run:
    """The part of StageRun that stage train uses."""

    folder: Path
    state: Path
    root: Path = Path()
    progress: bool = False
    lineage: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(id="id"))

    def say(self, text):
        pass

    def log(self, **content):
        pass

    def epoch(self, row):
        pass


def trained(name):
    """Weights, history and temperature of stage train."""
    folder = Path(name)
    for place in (folder, folder / "state"):
        place.mkdir()
    train.build(settings(), Run(folder, folder / "state"))
    made = [(folder / file).read_bytes() for file in ("model.safetensors", "history.csv")]
    return made, json.loads((folder / "model.json").read_text())["temperature"]


@pytest.mark.slow
def test_other_labels_of_it_change_the_temperature_of_a_training_and_nothing_else(apart):
    before, temperature = trained("before")
    shuffle_labels("calibration")
    after, other = trained("after")
    assert after == before
    assert other != temperature
    shuffle_labels("train")
    assert trained("again")[0] != before  # labels of training images do change the weights


def compressed(name):
    """What stage compress measures, and the rule."""
    config = settings(method="conformal", coverage=0.9)
    Path(name).mkdir()
    result = make_variant(
        config.compress.variants["onnx_fp32"].steps,
        context(config, Path("state")),
        config.compress,
        config.evaluate.decision,
        *(INGEST, SPLIT, Path(name)),
    )
    assert result.reason is None
    return result


@pytest.mark.slow
def test_the_temperature_and_the_rule_of_a_variant_are_fitted_to_it_alone(apart):
    before = compressed("before")
    assert before.decision["fitted_on"] == {"split": "calibration", "images": len(apart)}
    for split in ("val", "test", "train"):
        shuffle_labels(split)
    same = compressed("same")
    assert (same.temperature, same.decision) == (before.temperature, before.decision)
    assert same.metrics["val/accuracy"] != before.metrics["val/accuracy"]
    shuffle_labels("calibration")
    other = compressed("other")
    assert other.temperature != before.temperature
    assert other.decision["quantile"] != before.decision["quantile"]
    assert other.metrics["val/accuracy"] == same.metrics["val/accuracy"]


def test_a_near_copy_of_a_calibration_image_is_reported_and_an_equal_one_fails_the_audit():
    images = np.random.default_rng(0).integers(0, 256, (9, 1, 8, 8), dtype=np.uint8)
    images[0] = images[8]
    names = np.array(["train"] * 4 + ["val", "val", "test", "test", "calibration"])
    count, (pair,) = near_duplicates(images, names, 0.995)
    assert (count, pair.held_out, pair.other) == (1, 8, 0)
    rows, see = SimpleNamespace(digests=np.array([pixel_hash(image) for image in images])), CheckLog()
    _disjoint(names, rows, see)
    assert [finding.what for finding in see.findings] == ["train and calibration"]
