"""How many images moved since an earlier version: known by their bytes, whatever they are called."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from src.data.splitting.movement import count_moved
from tests.data.test_splits import rows_of


@pytest.fixture
def earlier(tmp_path: Path) -> tuple[Path, Path]:
    """Manifest and splits of six images, of which the third was left out and the last two are equal."""
    rows = rows_of([3, 3])
    names = [*rows.originals[:5], rows.originals[4]]
    splits = ["train", "val", "dropped", "test", "train", "val"]
    parquet.write_table(
        pa.table({"file_sha256": names, "sha256": rows.digests.tolist()}), tmp_path / "manifest.parquet"
    )
    parquet.write_table(pa.table({"split": splits}), tmp_path / "splits.parquet")
    return tmp_path / "manifest.parquet", tmp_path / "splits.parquet"


@pytest.mark.parametrize(
    ("now", "moved"),
    [
        (["train", "val", "dropped", "test", "train", "val"], (0, 4)),
        (["val", "val", "test", "test", "train", "val"], (1, 4)),  # what was left out did not move
        (["val", "test", "dropped", "train", "test", "val"], (4, 4)),
        (["dropped", "val", "dropped", "test", "train", "val"], (0, 3)),  # nor what is left out
    ],
)
def test_moved_is_what_is_in_another_split(
    earlier: tuple[Path, Path], now: list[str], moved: tuple[int, int]
) -> None:
    assert count_moved(rows_of([3, 3]), np.array(now), *earlier) == moved


def test_a_new_name_is_no_new_image_and_a_new_image_has_not_moved(earlier: tuple[Path, Path]) -> None:
    rows = rows_of([3, 3])
    order = [5, 3, 1, 0, 2, 4]
    shuffled = replace(rows, originals=[rows.originals[row] for row in order])
    # 5 is new; 3 stays in test, 1 leaves val, 0 stays in train, 2 was left out, 4 leaves train
    splits = np.array(["train", "test", "train", "train", "val", "test"])
    assert count_moved(shuffled, splits, *earlier) == (2, 4)


def test_versions_that_knew_the_pixels_only_are_compared_by_them(earlier: tuple[Path, Path]) -> None:
    manifest, table = earlier
    rows = rows_of([3, 3])
    parquet.write_table(pa.table({"sha256": rows.digests.tolist()}), manifest)
    other = replace(rows, originals=["else"] * 6)
    now = np.array(["val", "val", "dropped", "test", "train", "val"])
    assert count_moved(other, now, manifest, table) == (1, 5)
