"""The stages `split` and `normalize`, run as DVC runs them."""

import json
import re
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet

from tests.support.workspaces import Workspace, clone_working_tree


def run_stages(workspace: Workspace, *stages: str) -> None:
    for stage in stages:
        workspace.run(sys.executable, "-m", f"src.{stage}")


def read_splits(folder: Path) -> dict[str, list[Any]]:
    return parquet.read_table(folder / "data/split/splits.parquet").to_pydict()


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A clone in which the first three stages have run."""
    workspace = clone_working_tree(tmp_path_factory.mktemp("digits"))
    run_stages(workspace, "ingest", "split", "normalize")
    return workspace


@pytest.mark.slow
def test_digits_are_split_by_the_shares(digits: Workspace) -> None:
    columns = read_splits(digits.folder)
    assert columns["id"] == list(range(1797))
    assert Counter(columns["split"]) == {"train": 1168, "val": 270, "test": 359}
    pairs = zip(columns["split"], columns["fold"], strict=True)
    assert {split for split, fold in pairs if fold == -1} == {"test"}
    assert sorted(Counter(columns["fold"]).values()) == [287, 287, 288, 288, 288, 359]


def test_the_report_counts_what_the_table_holds(digits: Workspace) -> None:
    columns, report = read_splits(digits.folder), json.loads((digits / "data/split/report.json").read_text())
    splits = {name: part["images"] for name, part in report["splits"].items()}
    assert splits == {"train": 1168, "val": 270, "test": 359, "dropped": 0}
    assert [report["splits"][name]["share"] for name in ("train", "val", "test")] == [0.65, 0.1503, 0.1998]
    assert {row: fold["images"] for row, fold in enumerate(report["folds"])} | {-1: 359} == Counter(
        columns["fold"]
    )
    assert all(sum(part["classes"].values()) == part["images"] for part in report["splits"].values())
    assert (report["given_splits"], report["missing"], report["left_out"]) == ([], [], [])


@pytest.mark.slow
def test_running_again_writes_the_same_bytes(digits: Workspace) -> None:
    names = ["data/split/splits.parquet", "data/split/report.json", "data/normalize/normalization.json"]
    before = [(digits / name).read_bytes() for name in names]
    for stage in ("split", "normalize"):
        shutil.rmtree(digits / "data" / stage)
        run_stages(digits, stage)
    assert [(digits / name).read_bytes() for name in names] == before


@pytest.mark.slow
def test_an_ad_hoc_run_leaves_the_pipeline_alone(digits: Workspace) -> None:
    before = (digits / "data/split/splits.parquet").read_bytes()
    digits.run(sys.executable, "-m", "src.split", "seed=1", "split.folds=3")
    assert (digits / "data/split/splits.parquet").read_bytes() == before
    (made,) = (digits / "outputs/split").glob("*/splits.parquet")
    assert set(parquet.read_table(made)["fold"].to_pylist()) == {-1, 0, 1, 2}


@pytest.mark.slow
def test_two_ad_hoc_runs_at_once_leave_two_results(digits: Workspace) -> None:
    begun = [digits.start(sys.executable, "-m", "src.split", f"split.folds={folds}") for folds in (4, 6)]
    assert all(process.communicate() and process.returncode == 0 for process in begun)
    made = [parquet.read_table(path) for path in (digits / "outputs/split").glob("*/splits.parquet")]
    assert {4, 6} <= {1 + max(table["fold"].to_pylist()) for table in made}


def test_the_normalization_is_that_of_the_training_pixels(digits: Workspace) -> None:
    normalization = json.loads((digits / "data/normalize/normalization.json").read_text())
    train = np.array(read_splits(digits.folder)["split"]) == "train"
    pixels = np.load(digits / "data/ingest/images.npy")[train] / 255
    assert normalization["images"] == 1168
    assert normalization["mean"] == pytest.approx([pixels.mean()], rel=1e-12)
    assert normalization["std"] == pytest.approx([pixels.std()], rel=1e-12)
    assert normalization["shift"] == normalization["mean"]
    assert normalization["scale"] == normalization["std"]


@pytest.mark.slow
def test_pixels_of_val_and_test_do_not_reach_the_normalization(digits: Workspace, tmp_path: Path) -> None:
    workspace = clone_working_tree(tmp_path)
    (workspace / "dvc.lock").unlink()  # by it, the images would be edited ones
    shutil.copytree(digits / "data", tmp_path / "data", dirs_exist_ok=True)
    made = workspace / "data/normalize/normalization.json"
    before = made.read_bytes()
    images = np.load(workspace / "data/ingest/images.npy")
    held_out = np.array(read_splits(tmp_path)["split"]) != "train"
    images[held_out] = 255 - images[held_out] // 2
    np.save(workspace / "data/ingest/images.npy", images)
    made.unlink()
    run_stages(workspace, "normalize")
    assert made.read_bytes() == before

    images[~held_out] //= 2  # training pixels do reach it
    np.save(workspace / "data/ingest/images.npy", images)
    run_stages(workspace, "normalize")
    assert made.read_bytes() != before


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["split", "normalize"])
def test_neither_stage_imports_torch(digits: Workspace, stage: str) -> None:
    done = digits.run(sys.executable, "-X", "importtime", "-m", f"src.{stage}")
    imported = set(re.findall(r"\| +([\w.]+)$", done.stderr, flags=re.MULTILINE))
    assert {"numpy", "pyarrow.parquet"} <= imported
    assert imported.isdisjoint({"torch", "pytorch_lightning", "sklearn", "scipy", "matplotlib"})
