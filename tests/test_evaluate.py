"""The stage: real commands on a small model, its files, and what it says to bad input."""

import json
import sys

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as reference
import torch
from sklearn.datasets import load_digits

import src  # noqa: F401  (mends torchvision)
from src.models.factory import create_model
from src.models.store import Input, ModelSpec, Normalization, save_model
from src.schema import Lenet

FILES = {
    *("metrics.json", "predictions.parquet"),
    *("calibration.csv", "confusion.csv", "per_class.csv", "pr.csv", "roc.csv"),
    *("confusion.png", "curves.png", "mistakes.png", "pr.png", "reliability.png", "roc.png"),
}
HISTORY = "epoch,train/loss,val/loss,val/accuracy,lr\n1,2.3,2.2,0.2,0.01\n2,1.9,1.8,0.5,0.001\n"


def prepare(workspace, test_targets=range(10), weights=None):
    """Inputs of the stage: the digits, of which some are for testing, and a model that learned nothing."""
    digits = load_digits()
    images = (digits.images * 255 / 16).round().astype(np.uint8)[:, None]
    rows = np.arange(len(images))
    test = (rows % 5 == 0) & np.isin(digits.target, list(test_targets))
    for folder in ("data/ingest", "data/split", "data/normalize", "models/base"):
        (workspace / folder).mkdir(parents=True)
    np.save(workspace / "data/ingest/images.npy", images)
    labels = digits.target.astype(str)
    manifest = pd.DataFrame({"id": rows, "label": labels, "target": digits.target.astype(np.int64)})
    manifest.to_parquet(workspace / "data/ingest/manifest.parquet", index=False)
    splits = pd.DataFrame(
        {"id": rows, "split": np.where(test, "test", "train"), "fold": np.where(test, -1, 0)}
    )
    splits.to_parquet(workspace / "data/split/splits.parquet", index=False)
    classes = [str(digit) for digit in range(10)]
    report = {"name": "digits", "source": "idx", "classes": classes}
    (workspace / "data/ingest/report.json").write_text(json.dumps(report))
    (workspace / "data/normalize/normalization.json").write_text("{}")
    model = Lenet(kind="lenet", activation="relu", dropout=0.0)
    torch.manual_seed(0)
    network = create_model(model, 1, 10, (8, 8))
    if weights is not None:
        torch.nn.init.constant_(list(network.parameters())[-1], weights)
    spec = ModelSpec(model, classes, Input(1, 8, 8, "pad"), Normalization([0.3], [0.4]))
    save_model(workspace / "models/base", network, spec)
    (workspace / "models/base/history.csv").write_text(HISTORY)
    return rows[test], digits.target[test]


def evaluate(workspace, **options):
    return workspace.run(sys.executable, "-m", "src.evaluate", **options)


@pytest.fixture
def report(workspace):
    """The folder of reports/evaluate in a workspace."""
    return workspace / "reports/evaluate"


def test_files_agree_with_each_other_and_come_out_the_same_again(workspace, report):
    rows, targets = prepare(workspace)
    done = evaluate(workspace)
    assert {path.name for path in report.iterdir()} == FILES
    predictions = pd.read_parquet(report / "predictions.parquet")
    assert predictions["id"].tolist() == rows.tolist()
    assert predictions["target"].tolist() == targets.tolist()
    probabilities = predictions[[f"p_{k}" for k in range(10)]].to_numpy()
    assert (probabilities.argmax(axis=1) == predictions["predicted"]).all()

    figures = json.loads((report / "metrics.json").read_text())
    accuracy = figures["accuracy"]
    assert accuracy["value"] == reference.accuracy_score(targets, predictions["predicted"])
    assert accuracy["low"] < accuracy["value"] < accuracy["high"]
    assert figures["log_loss"]["value"] == pytest.approx(reference.log_loss(targets, probabilities))
    assert f"Test accuracy {accuracy['value']:.4f}, 95% interval" in done.stdout

    confusion = pd.read_csv(report / "confusion.csv", dtype=str)
    assert (confusion["actual"] == confusion["predicted"]).mean() == pytest.approx(accuracy["value"])
    assert pd.read_csv(report / "per_class.csv")["images"].sum() == len(rows)
    assert pd.read_csv(report / "calibration.csv")["images"].sum() == len(rows)
    assert_journal_has(workspace, accuracy)

    before = {path.name: path.read_bytes() for path in report.iterdir()}
    evaluate(workspace)
    assert before == {path.name: path.read_bytes() for path in report.iterdir()}


def assert_journal_has(workspace, accuracy):
    """The figures belong to the run of train, under the names that are the same everywhere."""
    records = [json.loads(path.read_text()) for path in (workspace / "mlruns/journal").glob("*/*/run.json")]
    (record,) = [record for record in records if record["stage"] == "evaluate"]
    assert record["subject"] == record["parents"]["train"]
    assert record["metrics"]["test/accuracy"] == accuracy["value"]
    assert record["metrics"]["test/accuracy_low"] == accuracy["low"]
    assert {path.rsplit("/", 1)[-1] for path in record["figures"]} == {f for f in FILES if f.endswith(".png")}


def test_missing_class_leaves_stated_gaps(workspace, report):
    prepare(workspace, test_targets=range(9))
    evaluate(workspace)
    table = pd.read_csv(report / "per_class.csv", dtype={"class": str}).set_index("class")
    assert table.loc["9", "note"] == "no test images"
    assert table.loc["9", ["recall", "f1", "roc_auc", "average_precision"]].isna().all()
    figures = json.loads((report / "metrics.json").read_text())
    assert any("no test images of: 9" in note for note in figures["notes"])
    assert figures["roc_auc"]["value"] is not None


def test_one_class_alone_has_null_with_a_reason(workspace, report):
    prepare(workspace, test_targets=[4])
    evaluate(workspace)
    figures = json.loads((report / "metrics.json").read_text())
    assert figures["roc_auc"] == {"value": None, "low": None, "high": None}
    assert any(note.startswith("roc_auc: undefined") for note in figures["notes"])
    assert {path.name for path in report.iterdir()} == FILES


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("no test rows", "data/split/splits.parquet has no test rows"),
        ("no finite output", "models/base gives no finite output for"),
    ],
)
def test_bad_input_is_named_with_its_mend(workspace, report, fault, message):
    prepare(
        workspace,
        test_targets=[] if fault == "no test rows" else range(10),
        weights=float("nan") if fault == "no finite output" else None,
    )
    done = workspace.run(sys.executable, "-m", "src.evaluate", check=False)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not report.exists()
