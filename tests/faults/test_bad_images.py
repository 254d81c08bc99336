"""Images and data sets that cannot be used, given to the real ``ingest``."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from src.data.dataset.arrays import open_array
from src.data.ingestion.idx_format import to_bytes
from tests.support.pictures import encoded, noise, write_folder
from tests.support.workspaces import Workspace

FOLDER = ("data=image_folder", "data.name=mine", "data.image_size=[8,8]")


@pytest.fixture
def raw(workspace: Workspace) -> Path:
    """Twelve good images in two classes, and a ``params.yaml`` for them."""
    workspace.compose(*FOLDER)
    write_folder(workspace / "data/raw/mine", {"cat": 6, "dog": 6})
    return workspace / "data/raw/mine"


def ingest(workspace: Workspace, *overrides: str, check: bool = False) -> subprocess.CompletedProcess[str]:
    """With the ``params.yaml`` that is there, or with one for ``overrides``."""
    if overrides:
        workspace.compose(*overrides)
    return workspace.run(sys.executable, "-m", "src.ingest", check=check)


def refused(workspace: Workspace, *overrides: str) -> str:
    """The message of an ingest that must fail, and must leave nothing behind."""
    done = ingest(workspace, *overrides)
    assert done.returncode == 1
    assert "ingest failed: " in done.stderr
    assert "Traceback" not in done.stderr
    assert not (workspace / "data/ingest").exists()
    return done.stderr


def accepted(workspace: Workspace, *overrides: str) -> dict[str, Any]:
    """The report of an ingest that must end well; the array and the manifest agree with it."""
    ingest(workspace, *overrides, check=True)
    report: dict[str, Any] = json.loads((workspace / "data/ingest/report.json").read_text())
    manifest = pd.read_parquet(workspace / "data/ingest/manifest.parquet")
    assert report["kept"] == len(manifest) == len(open_array(workspace / "data/ingest/images.npy"))
    assert report["kept"] + len(report["dropped"]) == report["images"]
    assert not {entry["source"] for entry in report["dropped"]} & set(manifest["source"])
    return report


def _spoil(raw: Path) -> list[str]:
    """One image of each kind that cannot be read; returns their names in order."""
    animation = {"save_all": True, "append_images": [noise(1), noise(2)]}
    spoiled = {
        "cat/a_empty.png": b"",
        "cat/b_truncated.jpg": encoded(noise(3, (60, 60)), "jpg")[:400],
        "cat/c_text.png": b"<html>Not found</html>",
        "cat/d_animated.webp": encoded(noise(4), "webp", **animation),
        "cat/e_gif.png": encoded(noise(5), "gif"),
    }
    for name, content in spoiled.items():
        (raw / name).write_bytes(content)
    return list(spoiled)


def test_unreadable_images_are_dropped_and_listed(workspace: Workspace, raw: Path) -> None:
    names = _spoil(raw)
    (raw / "README.md").write_text("mine")
    report = accepted(workspace)
    assert [entry["source"] for entry in report["dropped"]] == names
    for entry, word in zip(
        report["dropped"], ("empty", "truncated", "not a readable", "animated", "not"), strict=True
    ):
        assert word in entry["reason"]
    assert report["class_counts"] == {"cat": 6, "dog": 6}
    assert report["ignored"] == ["README.md"]


def test_unreadable_images_are_refused_together(workspace: Workspace, raw: Path) -> None:
    names = _spoil(raw)
    message = refused(workspace, *FOLDER, "data.on_corrupt=fail")
    assert "5 of 17 images cannot be used" in message
    assert "data.on_corrupt=drop" in message
    assert all(name in message for name in names)


def test_a_decompression_bomb_is_refused_from_its_header(workspace: Workspace, raw: Path) -> None:
    Image.new("1", (12000, 12000)).save(raw / "cat/bomb.png")
    assert (raw / "cat/bomb.png").stat().st_size < 50_000
    (entry,) = accepted(workspace)["dropped"]
    assert entry["source"] == "cat/bomb.png"
    assert "12000×12000 pixels are more than data.max_pixels=100000000" in entry["reason"]


def test_the_same_image_under_two_labels(workspace: Workspace, raw: Path) -> None:
    (raw / "dog/again.png").write_bytes((raw / "cat/0002.png").read_bytes())
    message = refused(workspace)
    assert "cat/0002.png (cat) = dog/again.png (dog)" in message
    assert "data.on_conflict=drop" in message
    report = accepted(workspace, *FOLDER, "data.on_conflict=drop")
    assert [entry["source"] for entry in report["dropped"]] == ["cat/0002.png", "dog/again.png"]
    assert report["class_counts"] == {"cat": 5, "dog": 6}


def test_a_class_without_a_readable_image(workspace: Workspace, raw: Path) -> None:
    (raw / "emu").mkdir()
    (raw / "emu/1.png").write_bytes(b"")
    message = refused(workspace)
    assert "emu (1 dropped; emu/1.png: the file is empty (0 bytes))" in message


def test_missing_empty_and_one_class_folders(workspace: Workspace) -> None:
    message = refused(workspace, *FOLDER)
    assert "data/raw/mine is missing" in message
    assert "dvc add data/raw/mine" in message
    (workspace / "data/raw/mine").mkdir()
    assert "data/raw/mine is empty" in refused(workspace)
    write_folder(workspace / "data/raw/mine", {"cat": 2})
    assert "only one class (cat)" in refused(workspace)


def test_csv_faults_name_file_line_and_column(workspace: Workspace, raw: Path) -> None:
    csv = ("data=csv", *FOLDER[1:])
    (raw / "labels.csv").write_text("path,label\ncat/0000.png,cat\ncat/9.png,cat\ndog/0000.png,\n")
    message = refused(workspace, *csv)
    assert "data/raw/mine/labels.csv has 2 faults" in message
    assert "line 3, column path: cat/9.png is not in data/raw/mine" in message
    assert "line 4, column label: empty" in message


def test_a_truncated_idx_file(workspace: Workspace) -> None:
    images = workspace / "data/raw/digits/images-idx3-ubyte.gz"
    images.write_bytes(images.read_bytes()[:50_000])
    message = refused(workspace, "data=digits")
    assert "images-idx3-ubyte.gz is damaged" in message
    (workspace / "data/raw/digits/labels-idx1-ubyte.gz").write_bytes(to_bytes(np.arange(4, dtype=np.uint8)))
    assert "1,797 images, but labels-idx1-ubyte.gz has 4 labels" in refused(workspace, "data=digits")


def test_a_failure_leaves_the_last_good_result_in_reach(workspace: Workspace, raw: Path) -> None:
    workspace.run("dvc", "repro", "ingest")
    good = (workspace / "data/ingest/images.npy").read_bytes()
    lock = (workspace / "dvc.lock").read_bytes()
    (raw / "dog/again.png").write_bytes((raw / "cat/0002.png").read_bytes())
    done = workspace.run("dvc", "repro", "ingest", check=False)
    assert done.returncode != 0
    assert "dvc checkout data/ingest" in done.stderr
    assert (workspace / "dvc.lock").read_bytes() == lock
    workspace.run("dvc", "checkout", "data/ingest")
    assert (workspace / "data/ingest/images.npy").read_bytes() == good
