"""The stage on small real models: its files, its references, and what it refuses."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

import src.benchmark
from src.benchmark import build
from src.config.validation import validate_config
from src.core.errors import AssayError
from src.leaderboard.speed.table import load_warning
from src.leaderboard.table.rows import LeaderboardRow, write_rows
from tests.support.models_on_disk import write_base, write_data, write_variant
from tests.support.workspaces import ROOT

ACCURACY = {"val_accuracy": 0.8, "val_change": -0.1, "val_change_low": -0.2, "val_change_high": 0.1}
REFERENCES = ["torch_fp32", "onnxruntime_fp32"]
REASON = "no room | for\nit"


class Run:
    """What the stage may know and tell of an execution, kept in memory."""

    progress = False

    def __init__(self, folder):
        self.folder, self.said, self.attached = folder, [], {}

    def say(self, text):
        self.said.append(text)

    def attach(self, subject, metrics, figures=(), **tags):
        self.attached[subject] = (metrics, [path.name for path in figures])


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Do not change: the base, a variant that is its export, and a failed one."""
    root = tmp_path_factory.mktemp("repository")
    write_data(root)
    write_base(root)
    write_variant(root, "same")
    write_table(root, "same")
    return root


def write_table(root, name):
    """What compare leaves."""
    (root / "reports/compare").mkdir(parents=True, exist_ok=True)
    rows = [
        LeaderboardRow(
            "base", (), {"val_accuracy": 0.9, "bytes": 86_240, "gzip_bytes": 80_000, "sparsity": 0.0}
        ),
        LeaderboardRow(
            name, ("export",), {**ACCURACY, "bytes": 88_644, "gzip_bytes": 79_000, "sparsity": 0.0}
        ),
        LeaderboardRow("broken", ("quantize_aware_train", "export"), {}, REASON),
    ]
    write_rows(root / "reports/compare/variants.csv", rows)


def build_here(root, folder, monkeypatch, **changes):
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    small = {"rounds": 5, "warmup": 1, "calls": 5, "batches": 2, "batch_sizes": [4, 16], "threads": 1}
    values["benchmark"] = small | changes
    folder.mkdir()
    monkeypatch.chdir(root)
    run = Run(folder)
    build(validate_config(values, "params.yaml"), run)
    return run


@pytest.fixture(scope="module")
def built(inputs, tmp_path_factory):
    with pytest.MonkeyPatch.context() as monkeypatch:
        return build_here(inputs, tmp_path_factory.mktemp("out") / "report", monkeypatch)


def test_both_references_and_each_variant_that_is_ok_are_measured(built):
    found = json.loads((built.folder / "benchmark.json").read_text())
    assert (found["threads"], found["rounds"], found["warmup"]) == (1, 5, 1)
    assert list(found["models"]) == [*REFERENCES, "same"]
    for figures in found["models"].values():
        assert 0 < figures["latency_ms_p50"] <= figures["latency_ms_p95"]
        for size in (4, 16):
            low, value, high = (figures[f"throughput_{size}{end}"] for end in ("_low", "", "_high"))
            assert 0 < low <= value <= high
        assert 20 < figures["peak_memory_mb"] < 4000
    assert found["models"]["torch_fp32"]["speed_vs_torch"] == 1
    torch_needs, onnx_needs = (found["models"][name]["peak_memory_mb"] for name in REFERENCES)
    assert onnx_needs < torch_needs


def test_the_leaderboard_joins_what_compare_found(built):
    table = pd.read_csv(built.folder / "leaderboard.csv").set_index("variant")
    found = json.loads((built.folder / "benchmark.json").read_text())["models"]
    assert table.index.tolist() == ["base", "onnxruntime_fp32", "same", "broken"]
    assert table.loc["base", "latency_ms_p50"] == pytest.approx(found["torch_fp32"]["latency_ms_p50"])
    assert table.loc["same", "throughput_16"] == pytest.approx(found["same"]["throughput_16"])
    assert table.loc["same", "val_change"] == -0.1
    assert np.isnan(table.loc["onnxruntime_fp32", "val_accuracy"])
    assert abs(table.loc["onnxruntime_fp32", "bytes"] - table.loc["same", "bytes"]) < 100
    assert table.loc["broken"].drop(["status", "reason", "steps"]).isna().all()
    low, value, high = (table.loc["same", f"speed_vs_onnxruntime{end}"] for end in ("_low", "", "_high"))
    assert low <= value <= high


def test_the_page_has_the_picture_the_reason_and_the_conditions(built):
    page = (built.folder / "leaderboard.md").read_text()
    assert "![Validation accuracy against latency](pareto.png)" in page
    assert "| `broken` | failed |" in page
    assert "- `broken`: no room | for it" in page
    assert "threads: 1, 5 rounds after 1 that were dropped" in page
    assert re.search(r"of which others used \d+% just before", page)
    assert "× PyTorch" in page
    heading, rule, *lines = [line for line in page.splitlines() if line.startswith("| ")]
    assert {line.count(" | ") for line in (heading, rule, *lines)} == {heading.count(" | ")}
    assert Image.open(built.folder / "pareto.png").size == (1260, 780)


def test_each_figure_goes_to_the_run_of_its_model(built):
    assert set(built.attached) == {"train", "compress@same"}
    names = {"latency_ms_p50", "latency_ms_p95", "throughput_4", "throughput_16", "peak_memory_mb"}
    assert set(built.attached["compress@same"][0]) == names == set(built.attached["train"][0])
    assert built.attached["compress@same"][1] == []
    assert built.attached["train"][1] == ["leaderboard.md", "leaderboard.csv", "pareto.png"]


def test_few_rounds_print_no_ratio_and_say_why(inputs, tmp_path, monkeypatch):
    run = build_here(inputs, tmp_path / "report", monkeypatch, rounds=4, warmup=0)
    page = (run.folder / "leaderboard.md").read_text()
    assert "×" not in page
    assert "No ratios of speeds: benchmark.rounds=4 allow no ratio" in page
    assert not any("speed" in name for name in pd.read_csv(run.folder / "leaderboard.csv").columns)
    assert any(text.startswith("benchmark.rounds=4 allow no ratio") for text in run.said)


def test_other_work_on_the_machine_is_said_aloud():
    assert load_warning(3.0) is None
    assert load_warning(60.0).startswith(
        "other processes use 60% of this machine, and the figures will be off"
    )


def test_images_are_of_the_validation_split_and_fill_the_largest_batch(inputs, monkeypatch):
    monkeypatch.chdir(inputs)
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    pictures, names = (
        np.load("data/ingest/images.npy"),
        np.array(["train", "val", "test", "val"])[np.arange(400) % 4],
    )
    validation = pictures[names == "val"]
    for size, count in ((8, 32), (300, 300)):
        values["benchmark"]["batch_sizes"] = [size]
        images = src.benchmark._images(validate_config(values, "params.yaml"))
        assert len(images) == count
        assert (images == np.resize(validation, images.shape)).all()


def test_a_variant_with_the_name_of_a_reference_is_refused(inputs, tmp_path, monkeypatch):
    import shutil

    root = shutil.copytree(inputs, tmp_path / "repository")
    write_table(root, "onnxruntime_fp32")
    with pytest.raises(AssayError, match=r"compress\.variants\.onnxruntime_fp32: a reference has this name"):
        build_here(root, tmp_path / "report", monkeypatch)
