"""What a stage does with work that it finds: of a process that it waited for, or of an earlier execution."""

import os
from pathlib import Path

import pytest

from src.core.hashing import hash_tree
from src.pipeline import execution
from src.provenance.work_dir import WorkDir


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[WorkDir, Path]:
    """Work that was published to ``models/base``, and this place."""
    monkeypatch.chdir(tmp_path)
    state, place = WorkDir(tmp_path, "train", "abc"), tmp_path / "models/base"
    (state.fresh_build() / "weights").write_text("weights")
    state.finish()
    state.publish(place)
    return state, place


def test_the_result_of_the_other_process_is_taken_over(published: tuple[WorkDir, Path]) -> None:
    state, place = published
    before = (place / "weights").stat().st_mtime_ns
    assert execution._take_over(state, Path("models/base"))
    assert (place / "weights").stat().st_mtime_ns == before


def test_a_result_in_another_place_is_copied(published: tuple[WorkDir, Path], tmp_path: Path) -> None:
    state, place = published
    other = tmp_path / "workspace/models/base"
    other.mkdir(parents=True)
    assert execution._take_over(state, other)
    assert hash_tree(other) == hash_tree(place)


@pytest.mark.parametrize("change", ["edited", "removed", "never published"])
def test_a_result_that_is_not_what_was_published_is_not_taken_over(
    published: tuple[WorkDir, Path], change: str
) -> None:
    state, place = published
    if change == "edited":
        (place / "weights").write_text("edited")
    if change == "removed":
        place.rename(place.with_name("elsewhere"))
    if change == "never published":
        (state.path / "published.json").unlink()
    assert not execution._take_over(state, place)


def test_a_result_that_dvc_has_recorded_since_is_not_the_rest_of_a_killed_execution(
    published: tuple[WorkDir, Path], tmp_path: Path
) -> None:
    state, _ = published
    assert not execution._was_committed(state), "dvc.lock is missing"
    lock, time = tmp_path / "dvc.lock", (state.path / "published.json").stat().st_mtime
    lock.write_text("stages: {}")
    for seconds, committed in ((-1, False), (0, False), (1, True)):
        os.utime(lock, (time + seconds, time + seconds))
        assert execution._was_committed(state) == committed
    assert not execution._was_committed(WorkDir(tmp_path, "train", "other")), "it was never published"
