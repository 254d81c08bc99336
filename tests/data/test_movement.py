"""How many images moved since an earlier version of the data, and what is said of it."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from src.data.splitting.movement import Movement, measure_movement
from tests.data.test_stable_splits import Picture, index_of
from tests.support.workspaces import clone_working_tree

BEFORE = ["train", "val", "test", "test", "dropped", "train", "test"]
AFTER = ["train", "test", "train", "dropped", "train", "val", "test"]


def write(folder, rows, splits):
    """What stages ingest and split leave."""
    parquet.write_table(
        pa.table({"file_sha256": rows.originals, "sha256": rows.digests}), folder / "manifest.parquet"
    )
    parquet.write_table(pa.table({"split": splits}), folder / "splits.parquet")
    return folder / "manifest.parquet", folder / "splits.parquet"


def test_left_out_images_are_counted_apart_from_those_that_moved(tmp_path):
    rows = index_of([Picture(number, 10 * number, number % 2) for number in range(7)])
    before = write(tmp_path, rows, BEFORE)
    found = measure_movement(rows, np.array(AFTER), *before)
    assert found == Movement(images=6, moved=3, left_out=1, test_to_train=1)
    assert measure_movement(rows, np.array(BEFORE), *before) == Movement(6, 0, 0, 0)


def test_new_images_and_those_that_are_gone_did_not_move(tmp_path):
    rows = index_of([Picture(number, 10 * number, number % 2) for number in range(7)])
    before = write(tmp_path, rows, BEFORE)
    others = index_of([Picture(number, 10 * number, number % 2) for number in (0, 1, 99)])
    renamed = replace(others, sources=["x", "y", "z"])
    assert measure_movement(renamed, np.array(["train", "val", "test"]), *before) == Movement(2, 0, 0, 0)


def test_versions_that_knew_the_pixels_only_are_compared_by_them(tmp_path):
    rows = index_of([Picture(number, 10 * number, number % 2) for number in range(7)])
    manifest, splits = write(tmp_path, rows, BEFORE)
    parquet.write_table(pa.table({"sha256": rows.digests}), manifest)
    other = replace(rows, originals=["else"] * 7)
    assert measure_movement(other, np.array(AFTER), manifest, splits).moved == 3


@pytest.mark.prove
def test_another_method_warns_how_many_images_move(tmp_path):
    workspace = clone_working_tree(tmp_path / "clone")
    workspace.run("dvc", "repro", "split")
    before = parquet.read_table(workspace / "data/split/splits.parquet").to_pydict()["split"]
    workspace.compose("split.method=stable")
    said = workspace.run("dvc", "repro", "split").stdout
    after = parquet.read_table(workspace / "data/split/splits.parquet").to_pydict()["split"]
    pairs = list(zip(before, after, strict=True))
    moved = sum(one != other for one, other in pairs)
    assert moved > 300
    assert f"{moved} of 1,797 images moved to another split since the last version\n" in said
    assert "warning: split.method was stratified and is stable now. Of the images that moved, " in said
    assert f"{pairs.count(('test', 'train'))} were test images and are training images now" in said
