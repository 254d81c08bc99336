"""The stage on small real models: its files, its references, and what it refuses."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from src.benchmark import build
from src.config.validation import validate_config
from src.core.errors import AssayError
from src.core.metric_names import metric_of, unnest, with_limits
from src.leaderboard.speed.benchmark import read_images
from src.leaderboard.speed.table import load_warning
from src.leaderboard.table.rows import LeaderboardRow, write_rows
from src.pipeline.paths import INGEST, SPLIT
from tests.support.models_on_disk import write_base, write_data, write_variant
from tests.support.workspaces import ROOT

CHANGE = dict(zip(with_limits("val/accuracy/change"), (-0.1, -0.2, 0.1), strict=True))
ACCURACY = {"val/accuracy": 0.8, **CHANGE}
REFERENCES = ["torch_fp32", "onnxruntime_fp32"]
REASON = "no room | for\nit"
LATENCY, THROUGHPUT = "speed/latency_p50_ms", "speed/throughput/16"
FEW_ROUNDS = "benchmark.rounds must be at least 5 for ratios of speeds, but got rounds=4"


class Run:
    """The part of StageRun that the stage uses, kept in memory."""

    progress = False

    def __init__(self, folder):
        self.folder, self.lines, self.logged = folder, [], {}

    def say(self, text):
        self.lines.append(text)

    def log_for(self, subject, metrics, figures=(), **tags):
        self.logged[subject] = (metrics, [path.name for path in figures])


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
        LeaderboardRow("base", (), {"val/accuracy": 0.9, "model/bytes": 86_240, "model/gzip_bytes": 80_000}),
        LeaderboardRow(name, ("export",), {**ACCURACY, "model/bytes": 88_644, "model/gzip_bytes": 79_000}),
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


@pytest.mark.slow
def test_both_references_and_each_variant_that_is_ok_are_measured(built):
    found = json.loads((built.folder / "benchmark.json").read_text())
    assert (found["threads"], found["rounds"], found["warmup"]) == (1, 5, 1)
    assert list(found["models"]) == [*REFERENCES, "same"]
    for nested in found["models"].values():
        metrics = unnest(nested)
        assert all(metric_of(name) for name in metrics)
        assert 0 < metrics["speed/latency_p50_ms"] <= metrics["speed/latency_p95_ms"]
        for size in (4, 16):
            value, low, high = (metrics[name] for name in with_limits(f"speed/throughput/{size}"))
            assert 0 < low <= value <= high
        assert 20 < metrics["speed/peak_memory_mb"] < 4000
    assert found["models"]["torch_fp32"]["speed"]["vs_torch"]["value"] == 1
    torch_needs, onnx_needs = (found["models"][name]["speed"]["peak_memory_mb"] for name in REFERENCES)
    assert onnx_needs < torch_needs


def test_the_leaderboard_joins_what_compare_found(built):
    table = pd.read_csv(built.folder / "leaderboard.csv").set_index("variant")
    models = json.loads((built.folder / "benchmark.json").read_text())["models"]
    found = {name: unnest(metrics) for name, metrics in models.items()}
    assert table.index.tolist() == ["base", "onnxruntime_fp32", "same", "broken"]
    assert table.loc["base", LATENCY] == pytest.approx(found["torch_fp32"][LATENCY])
    assert table.loc["same", THROUGHPUT] == pytest.approx(found["same"][THROUGHPUT])
    assert table.loc["same", "val/accuracy/change"] == -0.1
    assert np.isnan(table.loc["onnxruntime_fp32", "val/accuracy"])
    assert abs(table.loc["onnxruntime_fp32", "model/bytes"] - table.loc["same", "model/bytes"]) < 100
    assert table.loc["broken"].drop(["status", "reason", "steps"]).isna().all()
    value, low, high = (table.loc["same", name] for name in with_limits("speed/vs_onnxruntime"))
    assert low <= value <= high


def test_the_page_has_the_picture_the_reason_and_the_conditions(built):
    page = (built.folder / "leaderboard.md").read_text()
    assert "![Validation accuracy against latency](pareto.png)" in page
    assert "| `broken` | failed |" in page
    assert "- `broken`: no room | for it" in page
    assert "threads: 1, 5 rounds after 1 for warm-up" in page
    assert re.search(r"\d+% busy with other processes just before", page)
    assert "× PyTorch" in page
    heading, rule, *lines = [line for line in page.splitlines() if line.startswith("| ")]
    assert {line.count(" | ") for line in (heading, rule, *lines)} == {heading.count(" | ")}
    assert Image.open(built.folder / "pareto.png").size == (1260, 780)


def test_each_metric_goes_to_the_run_of_its_model(built):
    assert set(built.logged) == {"train", "compress@same"}
    names = {LATENCY, "speed/latency_p95_ms", "speed/throughput/4", THROUGHPUT, "speed/peak_memory_mb"}
    assert set(built.logged["compress@same"][0]) == names == set(built.logged["train"][0])
    assert built.logged["compress@same"][1] == []
    assert built.logged["train"][1] == ["leaderboard.md", "leaderboard.csv", "pareto.png"]


@pytest.mark.prove
def test_few_rounds_print_no_ratio_and_say_why(inputs, tmp_path, monkeypatch):
    run = build_here(inputs, tmp_path / "report", monkeypatch, rounds=4, warmup=0)
    page = (run.folder / "leaderboard.md").read_text()
    assert "×" not in page
    assert f"No ratios of speeds: {FEW_ROUNDS}" in page
    assert not any("vs_" in name for name in pd.read_csv(run.folder / "leaderboard.csv").columns)
    assert FEW_ROUNDS in run.lines


def test_other_work_on_the_machine_gives_a_warning():
    assert load_warning(3.0) is None
    assert load_warning(60.0).startswith(
        "other processes use 60% of this machine, which distorts the measurements"
    )


def test_images_are_of_the_validation_split_and_fill_the_largest_batch(inputs, monkeypatch):
    monkeypatch.chdir(inputs)
    pictures, names = (
        np.load("data/ingest/images.npy"),
        np.array(["train", "val", "test", "val"])[np.arange(400) % 4],
    )
    validation = pictures[names == "val"]
    for size, count in ((8, 32), (300, 300)):
        images = read_images(INGEST / "images.npy", SPLIT, size)
        assert len(images) == count
        assert (images == np.resize(validation, images.shape)).all()


def test_a_variant_with_the_name_of_a_reference_is_refused(inputs, tmp_path, monkeypatch):
    import shutil

    root = shutil.copytree(inputs, tmp_path / "repository")
    write_table(root, "onnxruntime_fp32")
    with pytest.raises(AssayError, match=r"compress\.variants\.onnxruntime_fp32 has the name of a reference"):
        build_here(root, tmp_path / "report", monkeypatch)
