"""The stage: real commands on a small model, its files, and its errors for bad input."""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as reference
import torch
import yaml
from sklearn.datasets import load_digits

from src.config.schema.model import Lenet
from src.config.validation import validate_config
from src.core.errors import AssayError
from src.core.metric_names import metric_of, unnest
from src.evaluate import build
from src.evaluation.report.report import SUMMARY
from src.models.build import build_model
from src.models.saving import Input, ModelSpec, Normalization, save_model
from src.registry.variant_metrics import evaluate_metrics
from tests.support.workspaces import ROOT

FILES = {
    *("metrics.json", "summary.json", "predictions.parquet"),
    *("calibration.csv", "confusion.csv", "mistakes.csv", "per_class.csv", "pr.csv", "roc.csv"),
    *("confusion.png", "curves.png", "mistakes.png", "pr.png", "reliability.png", "roc.png"),
}
CORRUPTED = {"corrupted.parquet", "robustness.csv", "robustness.png"}
HISTORY = (
    "epoch,epoch/train/loss,epoch/val/loss,epoch/val/accuracy,epoch/lr\n"
    "1,2.3,2.2,0.2,0.01\n"
    "2,1.9,1.8,0.5,0.001\n"
)


def prepare(root, test_targets=range(10), classes=10, always=None, broken=False):
    """Inputs of the stage: the digits, some of them for testing, and a model that learned nothing, or that
    ``always`` predicts the same. Returns rows and classes of the test images."""
    digits = load_digits()
    images = (digits.images * 255 / 16).round().astype(np.uint8)[:, None]
    rows = np.arange(len(images))
    test = (rows % 5 == 0) & np.isin(digits.target, list(test_targets))
    for folder in ("data/ingest", "data/split", "data/normalize", "sweep", "models/base"):
        (root / folder).mkdir(parents=True)
    (root / "sweep/best.yaml").write_text("{}")
    np.save(root / "data/ingest/images.npy", images)
    manifest = pd.DataFrame({"id": rows, "target": digits.target.astype(np.int64)}).assign(
        source="s", sha256="0", given_split=None, group=None
    )
    manifest.to_parquet(root / "data/ingest/manifest.parquet", index=False)
    splits = pd.DataFrame({"id": rows, "split": np.where(test, "test", "train"), "fold": 0})
    splits.to_parquet(root / "data/split/splits.parquet", index=False)
    names = [str(digit) for digit in range(classes)]
    (root / "data/ingest/report.json").write_text(
        json.dumps({"name": "digits", "kept": len(rows), "classes": [str(digit) for digit in range(10)]})
    )
    (root / "data/normalize/normalization.json").write_text("{}")
    save_untrained(root / "models/base", names, always, broken)
    return rows[test], digits.target[test]


def save_untrained(folder, names, always, broken):
    model = Lenet(kind="lenet", activation="relu", dropout=0.0)
    torch.manual_seed(0)
    network = build_model(model, 1, len(names), (8, 8))
    bias = list(network.parameters())[-1].data
    if always is not None:
        bias[always] = 1000.0
    if broken:
        bias.fill_(torch.nan)
    save_model(
        folder, network, ModelSpec(model, names, Input(1, 8, 8, "pad", 10**6), Normalization([0.3], [0.4]))
    )
    (folder / "history.csv").write_text(HISTORY)


@dataclass
class Run:
    """The part of StageRun that the stage uses, kept in memory."""

    folder: Path
    progress: bool = False
    output: str = ""
    logged: dict[str, Any] = field(default_factory=dict)

    def say(self, text):
        self.output += f"{text}\n"

    def log(self, **content):
        self.logged |= content


def build_here(root, folder, monkeypatch, corruptions=(), subgroups=(), **decision):
    """What the stage does, in this process: no locks, no journal, no MLflow."""
    folder.mkdir()
    monkeypatch.chdir(root)
    run = Run(folder)
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    values["train"]["precision"] = "fp32"  # portable needs a process that is held to AVX2
    values["evaluate"] |= {"corruptions": [*corruptions], "subgroups": [*subgroups]}
    values["evaluate"]["decision"] |= decision
    build(validate_config(values, "params.yaml"), run)
    return run


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.prove
def test_files_agree_with_each_other_and_are_the_same_in_another_process(workspace, monkeypatch):
    rows, targets = prepare(workspace)
    (workspace / "dvc.lock").unlink()  # it records other inputs
    params = workspace / "params.yaml"  # portable results cannot be had in this process
    params.write_text(params.read_text().replace("precision: portable", "precision: fp32"))
    done = workspace.run(sys.executable, "-m", "src.evaluate")
    report = workspace / "reports/evaluate"
    assert {path.name for path in report.iterdir()} == FILES | CORRUPTED
    predictions = pd.read_parquet(report / "predictions.parquet")
    assert predictions["id"].tolist() == rows.tolist()
    assert predictions["target"].tolist() == targets.tolist()
    probabilities = predictions[[f"p_{k}" for k in range(10)]].to_numpy()
    assert (probabilities.argmax(axis=1) == predictions["predicted"]).all()

    metrics = json.loads((report / "metrics.json").read_text())["test"]
    accuracy = metrics["accuracy"]
    assert accuracy["value"] == reference.accuracy_score(targets, predictions["predicted"])
    assert accuracy["low"] < accuracy["value"] < accuracy["high"]
    assert metrics["log_loss"]["value"] == pytest.approx(reference.log_loss(targets, probabilities))
    summary = json.loads((report / "summary.json").read_text())
    assert summary == {name: metrics[name]["value"] for name in SUMMARY}
    assert all(metric_of(name) for name in unnest({"test": metrics}))
    assert f"Test accuracy {accuracy['value']:.4f}, 95% interval" in done.stdout

    confusion = pd.read_csv(report / "confusion.csv", dtype=str)
    assert (confusion["actual"] == confusion["predicted"]).mean() == pytest.approx(accuracy["value"])
    assert pd.read_csv(report / "per_class.csv")["images"].sum() == len(rows)
    assert pd.read_csv(report / "calibration.csv")["images"].sum() == len(rows)
    assert_journal_has(workspace, accuracy)

    corruptions = yaml.safe_load(params.read_text())["evaluate"]["corruptions"]
    again = build_here(workspace.folder, workspace / "again", monkeypatch, corruptions)
    assert contents(again.folder) == contents(report)
    assert evaluate_metrics(report / "metrics.json") == again.logged["metrics"]
    said = [line.split("evaluate", 1)[1].strip() for line in done.stdout.splitlines()[-2:]]
    assert again.output.splitlines() == said


def assert_journal_has(workspace, accuracy):
    """The metrics belong to the run of train, by the names that are the same everywhere."""
    records = [json.loads(path.read_text()) for path in (workspace / ".assay/journal").glob("*/*/run.json")]
    (record,) = [record for record in records if record["stage"] == "evaluate"]
    assert record["subject"] == record["parents"]["train"]
    assert record["metrics"]["test/accuracy"] == accuracy["value"]
    assert record["metrics"]["test/accuracy/low"] == accuracy["low"]
    figures = {name for name in FILES | CORRUPTED if name.endswith(".png")}
    assert {path.rsplit("/", 1)[-1] for path in record["figures"]} == figures


@pytest.fixture
def inputs(tmp_path):
    folder = tmp_path / "repository"
    folder.mkdir()
    return folder


def test_missing_class_leaves_stated_gaps(inputs, tmp_path, monkeypatch):
    prepare(inputs, test_targets=range(9))
    report = build_here(inputs, tmp_path / "report", monkeypatch).folder
    table = pd.read_csv(report / "per_class.csv", dtype={"class": str}).set_index("class")
    assert table.loc["9", "note"] == "no test images"
    assert table.loc["9", ["recall", "f1", "roc_auc", "average_precision"]].isna().all()
    content = json.loads((report / "metrics.json").read_text())
    assert any("no test images of: 9" in note for note in content["notes"])
    assert content["test"]["roc_auc"]["value"] is not None
    assert "9" not in pd.read_csv(report / "roc.csv", dtype=str)["class"].tolist()


@pytest.mark.slow
def test_one_class_alone_has_null_with_a_reason(inputs, tmp_path, monkeypatch):
    prepare(inputs, test_targets=[4])
    built = build_here(inputs, tmp_path / "report", monkeypatch)
    content = json.loads((built.folder / "metrics.json").read_text())
    assert content["test"]["roc_auc"] == {"value": None, "low": None, "high": None}
    assert any(note.startswith("roc_auc: undefined") for note in content["notes"])
    assert "test/roc_auc" not in built.logged["metrics"]
    assert evaluate_metrics(built.folder / "metrics.json") == built.logged["metrics"]
    assert set(contents(built.folder)) == FILES


def test_perfect_accuracy_is_reported_with_an_interval_that_has_a_width(inputs, tmp_path, monkeypatch):
    _, targets = prepare(inputs, test_targets=[4], always=4)
    built = build_here(inputs, tmp_path / "report", monkeypatch)
    assert built.output.startswith("Test accuracy 1.0000, 95% interval 0.")
    assert built.output.endswith(f"to 1.000, {len(targets)} images; macro F1 1.0000\n")


@pytest.mark.slow
def test_classes_that_are_never_right_are_named_where_the_accuracy_is(inputs, tmp_path, monkeypatch):
    rows, targets = prepare(inputs, test_targets=range(9), always=4)
    manifest = pd.read_parquet(inputs / "data/ingest/manifest.parquet")
    manifest["source"] = [f"{row}.png" for row in manifest["id"]]
    manifest.to_parquet(inputs / "data/ingest/manifest.parquet", index=False)
    built = build_here(inputs, tmp_path / "report", monkeypatch)
    f1 = reference.f1_score(targets, np.full_like(targets, 4), average="macro", labels=range(9))
    assert f"macro F1 {f1:.4f}; 8 of 10 classes are never right: 0, 1, 2, 3, 5, 6, 7, 8" in built.output
    table = pd.read_csv(built.folder / "mistakes.csv")
    wrong = targets != 4
    assert set(zip(table["path"], table["actual"], strict=True)) == {
        (f"{row}.png", target) for row, target in zip(rows[wrong], targets[wrong], strict=True)
    }
    assert set(table["predicted"]) == {4} and (table["confidence"].diff().dropna() <= 0).all()


@pytest.mark.slow
def test_corruptions_are_those_that_are_asked_for(inputs, tmp_path, monkeypatch):
    prepare(inputs, test_targets=[4], always=4)
    built = build_here(inputs, tmp_path / "report", monkeypatch, corruptions=["jpeg", "noise"])
    assert set(contents(built.folder)) == FILES | CORRUPTED
    table = pd.read_csv(built.folder / "robustness.csv", keep_default_na=False)
    rows = [("none", 0), *((name, level) for name in ("jpeg", "noise") for level in (1, 2, 3))]
    assert [*zip(table["corruption"], table["severity"], strict=True)] == rows
    assert set(table["test/accuracy"]) == {1.0}
    assert (table["test/accuracy/low"].astype(float) < 1).all()
    assert "Corrupted test images: accuracy 1.0000 on average (1.0000 as they are); lowest" in built.output
    assert built.output.endswith("with jpeg of severity 1\n")
    metrics = built.logged["metrics"]
    means = {"test/accuracy/corrupted", "test/accuracy/corrupted/jpeg", "test/accuracy/corrupted/noise"}
    assert {name for name in metrics if "corrupted" in name} == means  # equal resamples have no interval
    assert evaluate_metrics(built.folder / "metrics.json") == metrics
    assert any(path.name == "robustness.png" for path in built.logged["figures"])


@pytest.mark.slow
def test_the_site_with_flipped_labels_is_named(inputs, tmp_path, monkeypatch):
    rows, _ = prepare(inputs, test_targets=[4, 5], always=4)
    manifest = inputs / "data/ingest/manifest.parquet"
    table = pd.read_parquet(manifest)
    bad = table["id"] % 3 == 0
    table["csv.site"] = np.where(bad, "south", "north")
    table["csv.weight"] = [str(row) for row in table["id"]]
    table["target"] = np.where(bad & (table["target"] == 4), 5, 4)
    table.to_parquet(manifest, index=False)
    built = build_here(inputs, tmp_path / "report", monkeypatch, subgroups=["site"])
    assert set(contents(built.folder)) == FILES | {"subgroups.csv", "subgroups.png"}
    found = pd.read_csv(built.folder / "subgroups.csv").set_index("value")
    tested, right = table.loc[rows], (table.loc[rows, "target"] == 4)
    for site in ("north", "south"):
        assert found.loc[site, "images"] == (tested["csv.site"] == site).sum()
        assert found.loc[site, "test/accuracy"] == pytest.approx(right[tested["csv.site"] == site].mean())
    assert found.loc["north", "gap/high"] > found.loc["north", "gap/low"] > 0 > found.loc["south", "gap/high"]
    assert "Subgroups: largest gap: site=south with accuracy" in built.output
    metrics = built.logged["metrics"]
    assert metrics["test/accuracy/worst_subgroup"] == pytest.approx(found.loc["south", "test/accuracy"])
    assert evaluate_metrics(built.folder / "metrics.json") == metrics
    assert any(path.name == "subgroups.png" for path in built.logged["figures"])
    with pytest.raises(
        AssayError, match=r"places: labels\.csv has no such column; it has site, weight\n  wei.*many"
    ):
        build_here(inputs, tmp_path / "refused", monkeypatch, subgroups=["places", "weight"])
    assert not list((tmp_path / "refused").iterdir())


def validate_on(root, split):
    """Call a quarter of the training images so."""
    path = root / "data/split/splits.parquet"
    splits = pd.read_parquet(path)
    splits.loc[(splits["split"] == "train") & (splits["id"] % 4 == 0), "split"] = split
    splits.to_parquet(path, index=False)
    return int((splits["split"] == split).sum())


@pytest.mark.slow
@pytest.mark.parametrize("split", ["val", "calibration"])
def test_a_rule_is_fitted_to_held_out_images_and_only_reported_on_the_test_images(
    inputs, tmp_path, monkeypatch, split
):
    prepare(inputs)
    fitted = validate_on(inputs, split)
    wanted = {"method": "abstain", "accuracy": 0.15}  # of a model that learned nothing
    built = build_here(inputs, tmp_path / "report", monkeypatch, **wanted)
    assert set(contents(built.folder)) == FILES | {"decision.json", "coverage.csv", "coverage.png"}
    report = json.loads((built.folder / "decision.json").read_text())
    assert report["rule"]["fitted_on"] == {"split": split, "images": fitted}
    assert report["fitted"]["accuracy_of_answered"]["value"] >= 0.15
    assert f"fitted to {fitted:,} {split} images. On the test images, " in built.output
    assert any(path.name == "coverage.png" for path in built.logged["figures"])
    assert_curve_and_rule(built.folder, report)

    manifest = inputs / "data/ingest/manifest.parquet"
    rows = pd.read_parquet(manifest)
    tested = pd.read_parquet(inputs / "data/split/splits.parquet")["split"] == "test"
    rows.loc[tested, "target"] = rows.loc[tested, "target"].to_numpy()[::-1]
    rows.to_parquet(manifest, index=False)
    again = build_here(inputs, tmp_path / "other test labels", monkeypatch, **wanted)
    other = json.loads((again.folder / "decision.json").read_text())
    assert (other["rule"], other["fitted"]) == (report["rule"], report["fitted"])
    assert other["test"] != report["test"]


def assert_curve_and_rule(folder, report):
    """The test metrics follow from the stored predictions and the rule."""
    predictions = pd.read_parquet(folder / "predictions.parquet")
    confidence = predictions[[f"p_{k}" for k in range(10)]].max(axis=1)
    right, answered = (
        predictions["predicted"] == predictions["target"],
        confidence >= report["rule"]["confidence"],
    )
    assert report["test"]["answered"]["value"] == pytest.approx(answered.mean())
    assert report["test"]["accuracy_of_answered"]["value"] == pytest.approx(right[answered].mean())
    curve = pd.read_csv(folder / "coverage.csv")
    assert curve["coverage"].iloc[-1] == 1
    assert curve["accuracy"].iloc[-1] == pytest.approx(right.mean())


def test_a_rule_for_a_class_that_does_not_exist_is_refused_before_anything_is_predicted(
    inputs, tmp_path, monkeypatch
):
    prepare(inputs)
    validate_on(inputs, "val")
    with pytest.raises(AssayError, match="of_class: no class is called ten"):
        build_here(inputs, tmp_path / "report", monkeypatch, method="thresholds", of_class="ten", recall=0.9)


def test_without_test_rows(inputs, tmp_path, monkeypatch):
    prepare(inputs, test_targets=[])
    with pytest.raises(AssayError, match=r"splits\.parquet has no test rows\. .*dvc repro split"):
        build_here(inputs, tmp_path / "report", monkeypatch)


def test_model_without_finite_output(inputs, tmp_path, monkeypatch):
    prepare(inputs, broken=True)
    with pytest.raises(AssayError, match=r"models/base gives no finite output for 360 of 360 test images"):
        build_here(inputs, tmp_path / "report", monkeypatch)


def test_model_of_other_data(inputs, tmp_path, monkeypatch):
    prepare(inputs, classes=8)
    with pytest.raises(AssayError, match=r"classes: data/ingest has 0, 1, .* 9, models/base has 0, .* 7"):
        build_here(inputs, tmp_path / "report", monkeypatch)
