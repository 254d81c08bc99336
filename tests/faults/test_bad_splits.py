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
    """``count`` different 8×8 gray images, ``0000.png`` …"""
    folder.mkdir(parents=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 8, 8), dtype=np.uint8)
    for number, values in enumerate(pixels):
        Image.fromarray(values).save(folder / f"{number:04d}.png")


def ingest(workspace: Workspace, *overrides: str) -> Path:
    """Compose for ``data/raw/mine`` and ingest it."""
    form = ("data.name=mine", "data.image_size=[8,8]", "data.channels=1")
    if not any(override.startswith("data=") for override in overrides):
        overrides = ("data=image_folder", *overrides)
    workspace.compose(*overrides, *form)
    workspace.run(sys.executable, "-m", "src.ingest")
    return workspace / "data/raw/mine"


DRAWN = "split.method=stratified"


def split(workspace: Workspace, check: bool = False) -> subprocess.CompletedProcess[str]:
    return workspace.run(sys.executable, "-m", "src.split", check=check)


def assert_refused(workspace: Workspace, *texts: str) -> None:
    done = split(workspace)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    for text in ("split failed", *texts):
        assert text in done.stderr
    assert not (workspace / "data/split").exists()


@pytest.mark.prove  # tests/data/test_split_faults.py shows the message
def test_a_class_with_too_few_images_for_the_splits(workspace: Workspace) -> None:
    write_images(workspace / "data/raw/mine/common", 40, 0)
    write_images(workspace / "data/raw/mine/rare", 3, 1)
    ingest(workspace, DRAWN)
    assert_refused(
        workspace,
        "class 'rare' has 3 different images, too few for split.val=0.15 and split.folds=5: it needs about 6",
        "Add images of these classes",
        "split.rare=train or split.rare=drop",
    )


@pytest.mark.prove  # tests/data/test_split_faults.py shows the message
def test_a_class_with_too_few_images_for_the_folds(workspace: Workspace) -> None:
    write_images(workspace / "data/raw/mine/common", 40, 0)
    write_images(workspace / "data/raw/mine/rare", 6, 1)
    ingest(workspace, DRAWN, "split.folds=8")
    assert_refused(
        workspace,
        "class 'rare' has 6 different images, too few for split.folds=8: it needs about 10",
        "fewer folds (split.folds)",
    )


@pytest.mark.prove  # tests/data/test_split_faults.py shows the message
def test_a_share_that_leaves_a_class_without_a_test_image(workspace: Workspace) -> None:
    write_images(workspace / "data/raw/mine/a", 40, 0)
    write_images(workspace / "data/raw/mine/b", 20, 1)
    ingest(workspace, DRAWN, "split.test=0.02")
    assert_refused(
        workspace,
        "class 'b' has 20 images, too few for split.test=0.02: it needs about 25",
        "raise the share",
    )


def test_a_share_that_leaves_none_to_train(workspace: Workspace) -> None:
    for part in ("train", "test"):
        write_images(workspace / "data/raw/mine" / part / "a", 20, len(part))
        write_images(workspace / "data/raw/mine" / part / "b", 20, len(part) + 10)
    ingest(workspace, DRAWN, "split.val=0.6")
    assert_refused(
        workspace,
        "class 'a' has 20 images to draw from, of which val take 24",
        "lower split.val or decide",
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
    ingest(workspace, "data=csv", DRAWN)
    assert_refused(
        workspace,
        "There are 3 independent groups, but split.folds=5 needs at least 5",
        "fewer folds (split.folds)",
    )


def write_rare_classes(workspace: Workspace) -> None:
    """40 images of each of two classes, and four classes of 1, 2, 3 and 6."""
    sizes = {"common": 40, "usual": 40, "one": 1, "two": 2, "three": 3, "six": 6}
    for seed, (name, count) in enumerate(sizes.items()):
        write_images(workspace / "data/raw/mine" / name, count, seed)


def test_all_refusals_of_splits_and_folds_are_reported_at_once(workspace: Workspace) -> None:
    write_rare_classes(workspace)
    ingest(workspace, DRAWN, "split.val=0.1", "split.folds=6")
    assert_refused(
        workspace,
        "class 'one' has 1 ",
        "class 'two' has 2 different images, too few for split.test=0.2, ",
        "class 'three' has 3 different images, too few for split.val=0.1 and split.folds=6: it needs about 8",
        "class 'six' has 6 different images, too few for split.folds=6: it needs about 8",
        "raise the share",
        "use fewer folds (split.folds)",
    )


@pytest.mark.prove  # tests/data/test_split_faults.py shows the message
def test_dropping_all_classes_but_one_is_refused(workspace: Workspace) -> None:
    write_images(workspace / "data/raw/mine/common", 40, 0)
    write_images(workspace / "data/raw/mine/rare", 3, 1)
    ingest(workspace, DRAWN, "split.rare=drop")
    assert_refused(workspace, "without the classes that are too small (rare), fewer than two are left")


def divided(workspace: Workspace) -> tuple[dict[str, Any], dict[str, dict[str, int]]]:
    """The report, and the images of each split and class that has any."""
    split(workspace, check=True)
    report = json.loads((workspace / "data/split/report.json").read_text())
    counts = {
        name: {label: count for label, count in part["classes"].items() if count}
        for name, part in report["splits"].items()
    }
    return report, counts


@pytest.mark.prove
def test_rare_classes_only_train_or_are_dropped(workspace: Workspace) -> None:
    write_rare_classes(workspace)
    ingest(workspace, DRAWN, "split.rare=train")
    report, counts = divided(workspace)
    assert report["only_trained"] == ["one", "three", "two"]
    assert counts["test"].keys() == counts["val"].keys() == {"common", "usual", "six"}
    assert {name: counts["train"][name] for name in ("one", "two", "three")} == {
        "one": 1,
        "two": 2,
        "three": 3,
    }
    assert report["dropped_classes"] == []

    ingest(workspace, DRAWN, "split.rare=drop")
    report, counts = divided(workspace)
    assert report["dropped_classes"] == ["one", "three", "two"]
    assert counts["dropped"] == {"one": 1, "two": 2, "three": 3}
    assert counts["train"].keys() == counts["test"].keys() == {"common", "usual", "six"}


@pytest.mark.prove
def test_rare_classes_of_a_stable_split(workspace: Workspace) -> None:
    """No image goes elsewhere because its class is rare: it would move once the class has grown."""
    write_rare_classes(workspace)
    ingest(workspace)
    assert_refused(workspace, "class 'one' has no image in", "split.rare=train or split.rare=drop")

    ingest(workspace, "split.rare=train")
    report, counts = divided(workspace)
    assert report["method"] == "stable"
    assert set(counts["train"]) | set(report["dropped_classes"]) == {*report["splits"]["train"]["classes"]}
    splits = parquet.read_table(workspace / "data/split/splits.parquet")["split"].to_pylist()

    ingest(workspace, "split.rare=drop")
    report, counts = divided(workspace)
    assert {"one", "two"} <= set(report["dropped_classes"])
    after = parquet.read_table(workspace / "data/split/splits.parquet")["split"].to_pylist()
    assert {a for a, b in zip(after, splits, strict=True) if a != b} == {"dropped"}
    for name in ("train", "val", "test"):
        assert counts[name].keys().isdisjoint(report["dropped_classes"])


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
    assert_refused(workspace, "Group 'patient7' is in the given splits train and test", "the same split")


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
    (workspace / "dvc.lock").unlink()  # by it, the damaged array would be an edited one
    array = workspace / "data/ingest/images.npy"
    content = array.read_bytes()
    array.unlink()
    if damage == "truncated":
        array.write_bytes(content[:1000])
    assert_refused(workspace, "images.npy cannot be read", "dvc repro ingest")
