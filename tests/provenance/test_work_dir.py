"""Finished work survives a kill, is published whole, and is never written by two."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from src.core.files import replace_folder
from src.core.hashing import hash_tree
from src.core.processes import is_alive, process_identity
from src.provenance.work_dir import WorkDir, held_lock
from tests.support.workspaces import ROOT


def build(state, text="model"):
    (state.fresh_build() / "file").write_text(text)
    return state.finish()


def test_publication_moves_everything_and_replaces_what_was_there(tmp_path):
    state, place = WorkDir(tmp_path, "train", "abc"), tmp_path / "models" / "base"
    place.mkdir(parents=True)
    (place / "old").write_text("old")
    outputs = build(state)
    state.publish(place)
    assert hash_tree(place) == outputs
    assert state.finished() is None and state.published().outputs == outputs


def test_work_that_could_not_be_moved_is_not_marked_as_published(tmp_path):
    state = WorkDir(tmp_path, "train", "abc")
    outputs = build(state)
    (tmp_path / "models").write_text("a file where the folder should be")
    with pytest.raises(OSError):
        state.publish(tmp_path / "models" / "base")
    assert state.published() is None and state.finished() == outputs


def test_a_restart_keeps_nothing(tmp_path):
    state = WorkDir(tmp_path, "sweep", "abc")
    build(state)
    (state.path / "trials").mkdir()
    (state.path / "trials" / "00000.json").write_text("{}")
    state.restart()
    assert list(state.path.iterdir()) == []


def test_work_begins_in_an_empty_folder_beside_its_checkpoints(tmp_path):
    state = WorkDir(tmp_path, "train", "abc")
    state.restart()  # of what never began
    build(state)
    (state.path / "last.ckpt").write_text("epoch 3")
    assert list(state.fresh_build().iterdir()) == []
    assert (state.path / "last.ckpt").read_text() == "epoch 3"
    assert not (state.path / "finished.json").exists()


def test_the_numerics_of_the_last_machine_are_kept(tmp_path):
    state = WorkDir(tmp_path, "train", "abc")
    assert state.numerics() is None
    for threads in ("1", "2"):
        state.keep_numerics({"threads": threads})
    assert WorkDir(tmp_path, "train", "abc").numerics() == {"threads": "2"}


def test_finished_but_unpublished_work_is_found_again(tmp_path):
    outputs = build(WorkDir(tmp_path, "train", "abc"))
    assert WorkDir(tmp_path, "train", "abc").finished() == outputs


def test_finished_work_that_was_touched_is_not_trusted(tmp_path):
    state = WorkDir(tmp_path, "train", "abc")
    build(state)
    (state.build / "file").write_text("other")
    assert state.finished() is None


def test_unfinished_work_is_not_taken_for_finished(tmp_path):
    state = WorkDir(tmp_path, "train", "abc")
    (state.fresh_build() / "file").write_text("half")
    assert state.finished() is None


def test_only_published_states_of_other_lineages_are_removed(tmp_path):
    old, unpublished, new = (WorkDir(tmp_path, "train", name) for name in ("old", "unpublished", "new"))
    for state in (old, new):
        build(state)
        state.publish(tmp_path / "place")
    build(unpublished)
    new.remove_predecessors(tmp_path / "place")
    assert not old.path.exists() and unpublished.path.exists() and new.path.exists()


def published(root, lineage, place, text="model", tracked=True):
    state = WorkDir(root, "split", lineage)
    build(state, text)
    state.publish(place, tracked)
    state.remove_predecessors(place)
    return state


def test_in_a_copy_of_the_repository_the_marks_are_those_of_the_copy(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    published(first, "old", first / "data/split")
    shutil.copytree(first, second)
    assert WorkDir(second, "split", "old").published().place == second / "data/split"
    published(second, "new", second / "data/split", "changed")
    assert not WorkDir(second, "split", "old").path.exists()
    assert WorkDir(first, "split", "old").path.exists()


def test_a_place_outside_of_the_repository_stays_where_it_is(tmp_path):
    published(tmp_path / "main", "abc", tmp_path / "worktree/data/split")
    assert WorkDir(tmp_path / "main", "split", "abc").published().place == tmp_path / "worktree/data/split"


def test_an_ad_hoc_run_keeps_the_mark_of_the_pipeline_and_removes_that_of_the_last_ad_hoc_run(tmp_path):
    pipeline = published(tmp_path, "pipeline", tmp_path / "data/split")
    first = published(tmp_path, "first", tmp_path / "outputs/split/1", tracked=False)
    assert pipeline.path.exists()
    published(tmp_path, "second", tmp_path / "outputs/split/2", tracked=False)
    assert pipeline.path.exists() and not first.path.exists()
    published(tmp_path, "later", tmp_path / "data/split")
    assert not pipeline.path.exists()


def test_a_temporary_workspace_keeps_the_mark_of_the_repository_and_loses_its_own_with_its_folder(tmp_path):
    pipeline = published(tmp_path, "pipeline", tmp_path / "data/split")
    temporary = published(tmp_path, "temporary", tmp_path / "tmp/data/split")
    assert pipeline.path.exists()
    shutil.rmtree(tmp_path / "tmp")
    published(tmp_path, "later", tmp_path / "data/split")
    assert not pipeline.path.exists() and not temporary.path.exists()


@pytest.mark.parametrize(("again", "tracked"), [("model", True), ("another model", False)])
def test_an_ad_hoc_run_with_the_result_of_the_pipeline_leaves_its_mark(tmp_path, again, tracked):
    place = tmp_path / "data/split"
    published(tmp_path, "same", place)
    state = published(tmp_path, "same", tmp_path / "outputs/split/1", again, tracked=False)
    assert state.published().tracked == tracked
    assert (state.published().place == place) == tracked


def test_a_state_in_use_is_not_removed(tmp_path):
    old, new = (WorkDir(tmp_path, "train", name) for name in ("old", "new"))
    for state in (old, new):
        build(state)
        state.publish(tmp_path / "place")
    with holder(old.path):
        new.remove_predecessors(tmp_path / "place")
    assert old.path.exists()


def test_replacing_leaves_no_rest(tmp_path):
    source, place = tmp_path / "build", tmp_path / "place"
    for folder in (source, place):
        folder.mkdir()
        (folder / "file").write_text(folder.name)
    replace_folder(source, place)
    assert (place / "file").read_text() == "build"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["place"]


def test_the_lock_names_its_holder_and_falls_with_it(tmp_path):
    seen = []
    with holder(tmp_path / "state") as process:
        assert is_alive({**process_identity(), "pid": process.pid}) is False, "another process, another start"
        start = time.monotonic()
        os.kill(process.pid, signal.SIGSTOP)
        killer = subprocess.Popen(["sh", "-c", f"sleep 0.5; kill -9 {process.pid}"])
        with held_lock(tmp_path / "state", seen.append) as waited:
            assert waited and time.monotonic() - start < 10
        killer.wait()
        assert [each["pid"] for each in seen] == [process.pid]
        process.wait()
        assert not is_alive(seen[0])
    with held_lock(tmp_path / "state", seen.append) as waited:
        assert not waited


class holder:
    """A real process that holds the lock of ``path``."""

    def __init__(self, path):
        self.path = path

    def __enter__(self):
        code = f"""
            from pathlib import Path
            from src.provenance.work_dir import held_lock
            with held_lock(Path({str(self.path)!r}), print):
                print("held", flush=True)
                input()
        """
        command = [sys.executable, "-c", textwrap.dedent(code)]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout.readline() == "held\n"
        return self.process

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()
