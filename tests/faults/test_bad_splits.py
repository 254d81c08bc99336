"""Data that cannot be split as asked: the message says what, where and how to fix it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet

from tests.support.workspaces import Workspace


def write_images(folder: Path, count: int, seed: int) -> None:
    """``count`` different 8×8 grey images, ``0000.png`` …"""
    folder.mkdir(parents=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 8, 8), dtype=np.uint8)
    for number, values in enumerate(pixels):
        Image.fromarray(values).save(folder / f"{number:04d}.png")


def ingest(workspace: Workspace, *overrides: str) -> Path:
    """Compose for ``data/raw/mine`` and ingest it."""
    form = ("data.name=mine", "data.image_size=[8,8]", "data.channels=1")
    if not any(override.startswith("data=") for override in overrides):
        overrides = ("data=image_folder", *overrides)
    workspace.run(sys.executable, "-m", "src.compose", *overrides, *form)
    workspace.run(sys.executable, "-m", "src.ingest")
    return workspace / "data/raw/mine"


def split(workspace: Workspace, check: bool = False) -> subprocess.CompletedProcess[str]:
    return workspace.run(sys.executable, "-m", "src.split", check=check)


def assert_refused(workspace: Workspace, *texts: str) -> None:
    done = split(workspace)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    for text in ("split failed", *texts):
        assert text in done.stderr
    assert not (workspace / "data/split").exists()


def test_a_class_with_too_few_images_for_the_splits(workspace: Workspace) -> None:
    write_images(workspace / "data/raw/mine/common", 40, 0)
    write_images(workspace / "data/raw/mine/rare", 3, 1)
    ingest(workspace)
    assert_refused(
        workspace,
        "class 'rare' has 3 images, of which split.val=0.15 takes 0.45; it needs at least 4 images",
        "Add images of the class",
    )


def test_a_class_with_too_few_images_for_the_folds(workspace: Workspace) -> None:
    write_images(workspace / "data/raw/mine/common", 40, 0)
    write_images(workspace / "data/raw/mine/rare", 6, 1)
    ingest(workspace, "split.folds=8")
    assert_refused(
        workspace,
        "class 'rare' has 5 different images, but split.folds=8 needs at least 8",
        "fewer folds (split.folds)",
    )


def test_a_share_that_leaves_a_class_without_a_test_image(workspace: Workspace) -> None:
    write_images(workspace / "data/raw/mine/a", 40, 0)
    write_images(workspace / "data/raw/mine/b", 20, 1)
    ingest(workspace, "split.test=0.02")
    assert_refused(
        workspace,
        "class 'b' has 20 images, of which split.test=0.02 takes 0.4; it needs at least 25 images",
        "raise the share",
    )


def test_a_share_that_leaves_none_to_train(workspace: Workspace) -> None:
    for part in ("train", "test"):
        write_images(workspace / "data/raw/mine" / part / "a", 20, len(part))
        write_images(workspace / "data/raw/mine" / part / "b", 20, len(part) + 10)
    ingest(workspace, "split.val=0.6")
    assert_refused(
        workspace,
        "class 'a' has 20 images to draw from, of which val take 24",
        "lower split.val or split.test",
    )


def write_labels(workspace: Workspace, rows: list[dict[str, Any]]) -> None:
    columns = list(rows[0])
    lines = [",".join(columns), *(",".join(str(row[column]) for column in columns) for row in rows)]
    (workspace / "data/raw/mine/labels.csv").write_text("\n".join(lines) + "\n")


def test_more_folds_than_groups(workspace: Workspace) -> None:
    write_images(workspace / "data/raw/mine/images", 40, 0)
    rows = [
        {"path": f"images/{row:04d}.png", "label": "ab"[row % 2], "group": f"patient{row // 10}"}
        for row in range(40)
    ]
    write_labels(workspace, rows)
    ingest(workspace, "data=csv")
    assert_refused(
        workspace,
        "There are 3 independent groups, but split.folds=5 needs at least 5",
        "fewer folds (split.folds)",
    )


def test_a_group_in_two_given_splits(workspace: Workspace) -> None:
    write_images(workspace / "data/raw/mine/images", 60, 0)
    rows = [
        {
            "path": f"images/{row:04d}.png",
            "label": "ab"[row % 2],
            "split": "test" if row < 15 else "train",
            "group": f"patient{row // 2}",
        }
        for row in range(60)
    ]
    write_labels(workspace, rows)
    ingest(workspace, "data=csv")
    assert_refused(workspace, "Group 'patient7' is in the given splits test and train", "the same split")


def test_groups_of_a_csv_stay_together(workspace: Workspace) -> None:
    write_images(workspace / "data/raw/mine/images", 120, 0)
    rows = [
        {"path": f"images/{row:04d}.png", "label": "ab"[row % 2], "group": f"patient{row // 4}"}
        for row in range(120)
    ]
    write_labels(workspace, rows)
    ingest(workspace, "data=csv")
    split(workspace, check=True)
    groups = parquet.read_table(workspace / "data/ingest/manifest.parquet")["group"].to_pylist()
    columns = parquet.read_table(workspace / "data/split/splits.parquet").to_pydict()
    assert len(set(groups)) == 30
    assert len(set(zip(groups, columns["split"], columns["fold"], strict=True))) == 30


def test_copies_across_given_splits_are_dropped_and_listed(workspace: Workspace) -> None:
    raw = workspace / "data/raw/mine"
    for seed, name in enumerate(("a", "b")):
        write_images(raw / "train" / name, 20, seed)
        write_images(raw / "test" / name, 8, seed + 10)
    shutil.copy(raw / "test/a/0003.png", raw / "train/a/zz.png")
    ingest(workspace, "split.folds=3")
    split(workspace, check=True)
    report = json.loads((workspace / "data/split/report.json").read_text())
    (pair,) = report["left_out"]
    assert (pair["dropped"]["source"], pair["dropped"]["split"]) == ("train/a/zz.png", "train")
    assert (pair["kept"]["source"], pair["kept"]["split"]) == ("test/a/0003.png", "test")
    columns = parquet.read_table(workspace / "data/split/splits.parquet").to_pydict()
    assert columns["split"][pair["dropped"]["id"]] == "dropped"
    assert columns["fold"][pair["dropped"]["id"]] == -1
    assert report["splits"]["test"]["images"] == 16
    assert report["given_splits"] == ["test", "train"]


def test_a_missing_ingest_names_the_stage_that_makes_it(workspace: Workspace) -> None:
    assert_refused(workspace, "data/ingest is missing", "dvc repro ingest")


@pytest.mark.parametrize("damage", ["truncated", "missing"])
def test_a_damaged_array_is_refused(workspace: Workspace, damage: str) -> None:
    write_images(workspace / "data/raw/mine/a", 20, 0)
    write_images(workspace / "data/raw/mine/b", 20, 1)
    ingest(workspace)
    array = workspace / "data/ingest/images.npy"
    content = array.read_bytes()
    array.unlink()
    if damage == "truncated":
        array.write_bytes(content[:1000])
    assert_refused(workspace, "images.npy cannot be read", "dvc repro ingest")
