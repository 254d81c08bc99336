"""The journal keeps every attempt, and a kill leaves it readable."""

import json
import multiprocessing

from src.provenance.journal import RunRecord, attempts

RECORD = {"lineage": "abc", "stage": "train", "metrics": {}, "figures": [], "tags": {}}


def test_attempts_are_numbered_and_kept(tmp_path):
    for _ in range(3):
        RunRecord.open(tmp_path, RECORD).close("FINISHED")
    found = list(attempts(tmp_path, "abc"))
    assert [attempt.folder.name for attempt in found] == ["0001", "0002", "0003"]
    assert {attempt.record["status"] for attempt in found} == {"FINISHED"}


def test_updates_merge_mappings_and_extend_lists(tmp_path):
    attempt = RunRecord.open(tmp_path, RECORD)
    attempt.update(metrics={"a": 1.0}, figures=["x.png"])
    attempt.update(metrics={"b": 2.0}, figures=["x.png", "y.png"])
    assert attempt.record["metrics"] == {"a": 1.0, "b": 2.0}
    assert attempt.record["figures"] == ["x.png", "y.png"]


def test_a_record_is_replaced_and_never_written_in_place(tmp_path):
    """A reader, or a kill, between two writes finds the whole old record."""
    attempt = RunRecord.open(tmp_path, RECORD)
    with (attempt.folder / "run.json").open() as before:
        attempt.update(metrics={"a": 1.0})
        assert json.load(before)["metrics"] == {}
    assert attempt.record["metrics"] == {"a": 1.0}


def test_a_line_cut_by_a_kill_is_left_out(tmp_path):
    attempt = RunRecord.open(tmp_path, RECORD)
    attempt.add_epoch({"epoch": 0, "val/loss": 1.5})
    with (attempt.folder / "history.jsonl").open("a") as file:
        file.write('{"epoch": 1, "val/lo')
    assert [(row["epoch"], row["val/loss"]) for row in attempt.history] == [(0, 1.5)]


def test_copies_are_independent_of_the_workspace(tmp_path):
    attempt = RunRecord.open(tmp_path / "root", RECORD)
    figure = tmp_path / "roc.png"
    figure.write_bytes(b"picture")
    attempt.add_figures([figure])
    figure.write_bytes(b"other")
    assert (attempt.folder / attempt.record["figures"][0]).read_bytes() == b"picture"


def test_processes_that_begin_at_once_get_attempts_of_their_own(tmp_path):
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        names = pool.starmap(_open, [(tmp_path,)] * 8)
    assert sorted(names) == [f"{number:04d}" for number in range(1, 9)]


def _open(root):
    return RunRecord.open(root, RECORD).folder.name
