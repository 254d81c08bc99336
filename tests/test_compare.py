"""The stage on small real models: its table, what it logs to which run, and its errors for bad input."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from safetensors.torch import load_file, save_file
from sklearn.metrics import accuracy_score, recall_score

from src.compare import build
from src.config.validation import validate_config
from src.core.errors import AssayError
from src.core.metric_names import metric_of, with_limits
from src.data.dataset.index import read_held_out
from src.leaderboard.comparison.variants import read_variant
from src.leaderboard.table.rows import METRICS, TEXTS, LeaderboardRow, read_rows, write_rows
from tests.support.models_on_disk import write_base, write_data, write_failed, write_variant
from tests.support.workspaces import ROOT

REASON = "the exporter knows no aten::fft"
NAMES = ["onnx_fp32", "other", "broken"]


@dataclass
class Run:
    """The part of StageRun that the stage uses, kept in memory."""

    folder: Path
    ad_hoc: bool = False
    progress: bool = False
    lines: list[str] = field(default_factory=list)
    logged: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def job(self) -> Any:
        return SimpleNamespace(loaded=SimpleNamespace(is_ad_hoc=self.ad_hoc))

    def say(self, text):
        self.lines.append(text)

    def log_for(self, subject, metrics, figures=(), **tags):
        self.logged[subject] = metrics


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Do not change: the base, a variant that is its export, another network, and a failed one."""
    root = tmp_path_factory.mktemp("repository")
    write_data(root)
    write_base(root)
    write_variant(root, "onnx_fp32")
    write_variant(root, "other", seed=1, steps=("prune_structured", "finetune", "export"))
    write_failed(root, "broken", REASON)
    return root


@pytest.fixture
def own(inputs, tmp_path):
    """A copy to change."""
    import shutil

    return shutil.copytree(inputs, tmp_path / "repository")


def configuration(names):
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    values["train"]["precision"] = "fp32"  # portable needs a process that is held to AVX2
    values["compress"]["variants"] = {name: {"steps": [{"name": "export"}]} for name in names}
    values["evaluate"]["bootstrap"] = 200
    return validate_config(values, "params.yaml")


def build_here(root, folder, monkeypatch, names=NAMES, ad_hoc=False):
    folder.mkdir()
    monkeypatch.chdir(root)
    run = Run(folder, ad_hoc)
    build(configuration(names), run)
    return run


@pytest.mark.slow
def test_the_table_says_what_the_predictions_say(inputs, tmp_path, monkeypatch):
    run = build_here(inputs, tmp_path / "report", monkeypatch)
    table = pd.read_csv(run.folder / "variants.csv").set_index("variant")
    assert list(pd.read_csv(run.folder / "variants.csv").columns) == [*TEXTS, *METRICS]
    assert table.index.tolist() == ["base", "onnx_fp32", "other", "broken"]
    base, same, other = table.loc["base"], table.loc["onnx_fp32"], table.loc["other"]

    predictions = pd.read_parquet(inputs / "models/other/predictions.parquet")
    for split, prefix in (("val", "val"), ("test", "test")):
        some = predictions[predictions["split"] == split]
        expected = accuracy_score(some["target"], some["predicted"])
        assert other[f"{prefix}/accuracy"] == pytest.approx(expected)
        assert other[f"{prefix}/accuracy/change"] == pytest.approx(expected - base[f"{prefix}/accuracy"])
        value, low, high = (other[name] for name in with_limits(f"{prefix}/accuracy/change"))
        assert low < value < high < 0
        recalls = recall_score(some["target"], some["predicted"], average=None, zero_division=0)
        assert prefix == "val" or other["test/recall_min"] == pytest.approx(recalls.min())
        assert other[f"{prefix}/mcnemar_p"] < 1e-6, "an untrained network is worse than one that is right"
        assert (same[f"{prefix}/accuracy/change"], same[f"{prefix}/mcnemar_p"]) == (0, 1)
    assert 0.7 < base["val/accuracy"] < 0.95
    assert (same["val/agreement"], base["val/agreement"]) == (1, 1)
    as_base = pd.read_parquet(inputs / "models/onnx_fp32/predictions.parquet")
    agree = (predictions["predicted"] == as_base["predicted"])[predictions["split"] == "val"].mean()
    assert other["val/agreement"] == pytest.approx(agree)
    assert 0 < agree < 0.5
    assert base["test/accuracy/low"] < base["test/accuracy"] < base["test/accuracy/high"]
    assert base[[name for name in METRICS if "change" in name or "mcnemar" in name]].isna().all()

    assert base["model/bytes"] == (inputs / "models/base/model.safetensors").stat().st_size
    assert same["model/bytes"] == (inputs / "models/onnx_fp32/model.onnx").stat().st_size
    assert same["model/size_ratio"] == pytest.approx(base["model/bytes"] / same["model/bytes"])
    assert base["model/parameters"] == same["model/parameters"]
    assert base["model/macs"] == same["model/macs"]
    assert other["steps"] == "prune_structured > finetune > export"


def test_a_failed_variant_is_a_row_with_its_reason(inputs, tmp_path, monkeypatch):
    run = build_here(inputs, tmp_path / "report", monkeypatch)
    row = pd.read_csv(run.folder / "variants.csv").set_index("variant").loc["broken"]
    assert (row["status"], row["reason"]) == ("failed", REASON)
    assert row[list(METRICS)].isna().all()
    page = (run.folder / "variants.md").read_text()
    assert f"- `broken`: {REASON}" in page
    assert "no dense file smaller" in page
    assert f"broken failed: {REASON}" in run.lines
    assert "compress@broken" not in run.logged


def test_each_metric_goes_to_the_run_of_its_model(inputs, tmp_path, monkeypatch):
    run = build_here(inputs, tmp_path / "report", monkeypatch)
    assert set(run.logged) == {"train", "compress@onnx_fp32", "compress@other"}
    rows = {row.name: row.metrics for row in read_rows(run.folder / "variants.csv")}
    assert run.logged["train"]["model/bytes"] == rows["base"]["model/bytes"]
    assert not any(name.startswith(("val/", "test/")) for name in run.logged["train"]), "evaluate's own"
    logged = run.logged["compress@other"]
    for name in ("val/accuracy/change/low", "test/mcnemar_p", "test/calibration_error", "model/size_ratio"):
        assert logged[name] == pytest.approx(rows["other"][name])
    assert not {"val/accuracy", "model/bytes"} & logged.keys(), "compress has logged them"
    assert all(isinstance(value, int | float) and np.isfinite(value) for value in logged.values())
    assert all(metric_of(name) for name in METRICS)


def test_another_execution_gives_the_same_bytes(inputs, tmp_path, monkeypatch):
    one, two = (build_here(inputs, tmp_path / name, monkeypatch).folder for name in ("one", "two"))
    for name in ("variants.csv", "variants.md"):
        assert (one / name).read_bytes() == (two / name).read_bytes()


def test_test_labels_decide_nothing_that_anyone_chooses_by(inputs, own, tmp_path, monkeypatch):
    shuffle_test_labels(own)
    before, after = (
        pd.read_csv(build_here(root, tmp_path / name, monkeypatch).folder / "variants.csv")
        for root, name in ((inputs, "before"), (own, "after"))
    )
    reported = [name for name in before.columns if name.startswith("test/")]
    pd.testing.assert_frame_equal(before.drop(columns=reported), after.drop(columns=reported))
    assert (before["test/accuracy"] != after["test/accuracy"])[:2].all(), "the labels were really others"


def shuffle_test_labels(root):
    """In the manifest, and in what compress copied from it."""
    test = (pd.read_parquet(root / "data/split/splits.parquet")["split"] == "test").to_numpy()
    manifest = pd.read_parquet(root / "data/ingest/manifest.parquet")
    targets = manifest["target"].to_numpy().copy()
    targets[test] = np.random.default_rng(1).permutation(targets[test])
    manifest.assign(target=targets).to_parquet(root / "data/ingest/manifest.parquet", index=False)
    for path in (root / "models").glob("*/predictions.parquet"):
        table = pd.read_parquet(path)
        table.assign(target=targets[table["id"]]).to_parquet(path, index=False)


def test_a_base_without_finite_output_is_refused(own, tmp_path, monkeypatch):
    path = own / "models/base/model.safetensors"
    save_file({name: weight * float("nan") for name, weight in load_file(path).items()}, path)
    with pytest.raises(AssayError, match=r"models/base gives no finite output.*train\.optimizer\.lr"):
        build_here(own, tmp_path / "report", monkeypatch)


def test_variants_that_are_no_longer_named_are_removed(own, tmp_path, monkeypatch):
    build_here(own, tmp_path / "ad_hoc", monkeypatch, names=["onnx_fp32"], ad_hoc=True)
    assert (own / "models/other").is_dir(), "an ad-hoc run leaves the pipeline's folders alone"
    run = build_here(own, tmp_path / "report", monkeypatch, names=["onnx_fp32"])
    assert {path.name for path in (own / "models").iterdir()} == {"base", "onnx_fp32"}
    assert [text.split(":")[0] for text in run.lines[:2]] == ["removed models/broken", "removed models/other"]
    assert [row.name for row in read_rows(run.folder / "variants.csv")] == ["base", "onnx_fp32"]


def test_variants_come_in_the_order_of_the_configuration(inputs, tmp_path, monkeypatch):
    run = build_here(inputs, tmp_path / "report", monkeypatch, names=["other", "broken", "onnx_fp32"])
    rows = read_rows(run.folder / "variants.csv")
    assert [row.name for row in rows] == ["base", "other", "broken", "onnx_fp32"]


def test_predictions_of_other_images_are_refused(own, tmp_path, monkeypatch):
    path = own / "models/other/predictions.parquet"
    pd.read_parquet(path).iloc[1:].to_parquet(path, index=False)
    with pytest.raises(AssayError, match=r"models/other .* of other images .* `dvc repro compress@other`"):
        build_here(own, tmp_path / "report", monkeypatch)


@pytest.mark.parametrize("text", [None, "{", "{}", '{"status": "ok", "steps": [], "bytes": null}'])
def test_a_variant_that_cannot_be_read_is_named(own, text):
    path = own / "models/onnx_fp32/variant.json"
    path.unlink() if text is None else path.write_text(text)
    held = read_held_out(own / "data/ingest", own / "data/split")
    with pytest.raises(AssayError, match=r"models/onnx_fp32 cannot be read .*dvc repro compress@onnx_fp32"):
        read_variant(own / "models/onnx_fp32", held)


def test_without_validation_rows(own):
    path = own / "data/split/splits.parquet"
    table = pd.read_parquet(path)
    table.assign(split=table["split"].replace("val", "train")).to_parquet(path, index=False)
    with pytest.raises(AssayError, match="has no val rows"):
        read_held_out(own / "data/ingest", own / "data/split")


def test_rows_are_read_as_they_were_written(tmp_path):
    rows = [
        LeaderboardRow("base", (), {"val/accuracy": 0.9, "model/bytes": 12_345_678_901_234, "model/macs": 7}),
        LeaderboardRow("failed", ("export",), {}, "one, two"),
        LeaderboardRow("a", ("x", "export"), {"val/accuracy/change": -1e-05, "val/mcnemar_p": 1.0}),
    ]
    write_rows(tmp_path / "rows.csv", rows)
    assert read_rows(tmp_path / "rows.csv") == rows
    json.dumps(rows[0].metrics)
