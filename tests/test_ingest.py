"""The stage: real commands in a clone, checked against what lies in the raw files."""

import gzip
import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet

from src.core.hashing import hash_tree
from src.data.dataset.arrays import open_array
from src.data.dataset.index import read_csv_columns
from tests.support.pictures import encoded, halves, write_folder
from tests.support.workspaces import Workspace

PYTHON = sys.executable


def _table(workspace: Workspace) -> dict[str, list]:
    return parquet.read_table(workspace / "data/ingest/manifest.parquet").to_pydict()


def _report(workspace: Workspace) -> dict:
    return json.loads((workspace / "data/ingest/report.json").read_text())


@pytest.mark.slow
def test_digits(workspace: Workspace) -> None:
    done = workspace.run(PYTHON, "-m", "src.ingest")
    first = next(line for line in done.stdout.splitlines() if "differs from conf/" not in line)
    assert "Data set digits" in first
    assert "model cnn" in first
    images = open_array(workspace / "data/ingest/images.npy")
    raw = gzip.decompress((workspace / "data/raw/digits/images-idx3-ubyte.gz").read_bytes())
    np.testing.assert_array_equal(images, np.frombuffer(raw[16:], np.uint8).reshape(1797, 1, 8, 8))
    table = _table(workspace)
    labels = gzip.decompress((workspace / "data/raw/digits/labels-idx1-ubyte.gz").read_bytes())[8:]
    assert table["target"] == list(labels)
    assert table["label"] == [str(label) for label in labels]
    assert table["id"] == list(range(1797))
    assert table["sha256"][5] == hashlib.sha256(images[5].tobytes()).hexdigest()
    assert table["source"][17] == "images-idx3-ubyte.gz#17"
    assert set(table["given_split"]) == set(table["group"]) == {None}
    assert _report(workspace)["classes"] == list("0123456789")


@pytest.mark.slow
def test_bytes_do_not_depend_on_the_number_of_processes(workspace: Workspace) -> None:
    raw = workspace / "data/raw/mine"
    for place, ending in enumerate(("png", "jpg", "webp", "bmp")):
        write_folder(raw / "train", {f"class {place}": 20}, ending, seed=place + 1)
    write_folder(raw / "test", {f"class {place}": 3 for place in range(4)}, "jpg", seed=5)
    (raw / "train/class 1/0003.jpg").write_bytes(b"broken")
    hashes = []
    for workers in ("1", "3"):
        settings = ("data=image_folder", "data.name=mine", "data.image_size=[9,7]", "data.on_conflict=drop")
        workspace.compose(*settings, f"machine.num_workers={workers}")
        workspace.run(PYTHON, "-m", "src.ingest")
        hashes.append(hash_tree(workspace / "data/ingest"))
        (workspace / "data/ingest").rename(workspace / f"ingest-{workers}")
    assert hashes[0] == hashes[1]
    assert sorted(hashes[0]) == ["images.npy", "manifest.parquet", "report.json"]


@pytest.mark.slow
def test_a_csv_with_split_and_group_and_mixed_sizes(workspace: Workspace) -> None:
    raw = workspace / "data/raw/birds"
    write_folder(raw, {"pictures": 3}, "bmp")
    (raw / "wide.jpg").write_bytes(encoded(halves(), "jpg"))
    lines = [
        "path,label,split,group,id",
        "wide.jpg,owl,train,nest 1,a",
        "pictures/0000.bmp,wren,test,nest 2,b",
    ]
    lines += [f"pictures/000{row}.bmp,owl,,,c" for row in (1, 2)]
    (raw / "labels.csv").write_text("\n".join(lines) + "\n")
    settings = ("data=csv", "data.name=birds", "data.image_size=[20,40]", "data.resize_mode=stretch")
    workspace.compose(*settings)
    workspace.run(PYTHON, "-m", "src.ingest")
    table = _table(workspace)
    assert table["label"] == ["owl", "wren", "owl", "owl"]
    assert table["target"] == [0, 1, 0, 0]
    assert table["given_split"] == ["train", "test", None, None]
    assert table["group"] == ["nest 1", "nest 2", None, None]
    assert read_csv_columns(workspace / "data/ingest") == {
        "group": ["nest 1", "nest 2", "", ""],
        "id": ["a", "b", "c", "c"],  # beside the manifest's own column of this name
    }
    assert table["id"] == [0, 1, 2, 3]
    assert (table["width"][0], table["height"][0]) == (40, 20)
    assert (table["width"][1], table["height"][1]) == (16, 12)
    images = open_array(workspace / "data/ingest/images.npy")
    assert images.shape == (4, 3, 20, 40)
    original = np.asarray(Image.open(raw / "wide.jpg")).transpose(2, 0, 1)
    np.testing.assert_array_equal(images[0], original)


@pytest.mark.parametrize("stage", ["ingest", "fetch"])
def test_help_is_quick_because_nothing_heavy_is_imported(stage: str) -> None:
    code = (
        f"import sys, src.{stage}\n"
        "heavy = {'torch', 'numpy', 'pandas', 'PIL', 'hydra', 'mlflow', 'sklearn', 'pyarrow'}\n"
        "print(*sorted(heavy & set(sys.modules)))"
    )
    done = Workspace(Path(__file__).parents[1]).run(PYTHON, "-c", code)
    assert done.stdout.strip() == ""
