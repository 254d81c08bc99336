"""What interrupted stages left behind is listed with its size, and deleted unless somebody works there."""

import os
import time
from pathlib import Path

import pytest
from filelock import FileLock

from src.pipeline.leftovers import leftovers, remove
from src.provenance.work_dir import WorkDir


@pytest.fixture
def states(tmp_path: Path) -> dict[str, WorkDir]:
    """Work of four stages: two were interrupted, two published; one of these has begun again."""
    found = {name: WorkDir(tmp_path, name, "abc") for name in ("train", "sweep", "evaluate", "compare")}
    (found["train"].fresh_build() / "half").write_bytes(bytes(1000))
    (found["train"].path / "last.ckpt").write_bytes(bytes(500))
    for kind, count in (("trials", 2), ("folds", 1)):
        (found["sweep"].path / kind).mkdir(parents=True)
        for number in range(count):
            (found["sweep"].path / kind / f"{number}.json").write_text("{}")
    for name in ("evaluate", "compare"):
        (found[name].fresh_build() / "file").write_text("result")
        found[name].finish()
        found[name].publish(tmp_path / "reports" / name)
        found[name].keep_numerics({"threads": "1"})
    (found["compare"].path / "rest").write_text("rest")
    return found


def test_work_is_listed_largest_first_without_mere_marks(states: dict[str, WorkDir], tmp_path: Path) -> None:
    (tmp_path / ".assay/state/train/abc.holder.json").write_text("{}")
    found = leftovers(tmp_path)
    assert [(left.stage, left.what) for left in found] == [
        ("train", "interrupted"),
        ("compare", "published to compare"),
        ("sweep", "interrupted, with 2 finished trials and 1 finished folds"),
    ]
    assert (found[0].path, found[0].size) == (states["train"].path, 1500)
    states["compare"].fresh_build()
    assert [left.what for left in leftovers(tmp_path) if left.stage == "compare"] == ["interrupted"]


def test_its_age_is_that_of_the_newest_file(states: dict[str, WorkDir], tmp_path: Path) -> None:
    old, newer = time.time() - 5 * 86400, time.time() - 2 * 86400
    for path in states["train"].path.rglob("*"):
        os.utime(path, (old, old))
    os.utime(states["train"].path / "last.ckpt", (newer, newer))
    assert leftovers(tmp_path)[0].days == pytest.approx(2, abs=0.01)


def test_where_somebody_works_nothing_is_listed_or_deleted(
    states: dict[str, WorkDir], tmp_path: Path
) -> None:
    (left,) = [each for each in leftovers(tmp_path) if each.stage == "train"]
    holder = Path(f"{left.path}.holder.json")
    holder.write_text("{}")
    with FileLock(f"{left.path}.lock"):
        assert "train" not in [each.stage for each in leftovers(tmp_path)]
        assert not remove(left)
        assert (left.path / "last.ckpt").is_file() and holder.is_file()
    assert remove(left)
    assert not left.path.exists() and not holder.exists()
    assert "train" not in [each.stage for each in leftovers(tmp_path)]
