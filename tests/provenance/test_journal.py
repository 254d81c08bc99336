"""The journal keeps every attempt, and a kill leaves it readable."""

import json
import multiprocessing
import re

from src.provenance.journal import (
    INHERITED,
    RunRecord,
    attempt_key,
    attempts,
    child_record,
    next_folder,
)

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
    for value in (None, ["z.png"], 3):
        attempt.update(figures=value, metrics=value)
        assert (attempt.record["figures"], attempt.record["metrics"]) == (value, value)
    assert re.fullmatch(r"[-\dT:]{19}\.\d{3}\+00:00", attempt.record["started"])


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


def test_an_end_that_is_known_stays_and_the_reason_is_kept(tmp_path):
    attempt = RunRecord.open(tmp_path, RECORD)
    assert attempt.record["status"] == "RUNNING" and "ended" not in attempt.record
    attempt.update(ended="2020-01-01T00:00:00.000+00:00")
    attempt.close("FAILED", "loss is NaN")
    assert attempt.record["ended"] == "2020-01-01T00:00:00.000+00:00"
    assert (attempt.record["status"], attempt.record["reason"]) == ("FAILED", "loss is NaN")
    other = RunRecord.open(tmp_path, RECORD)
    other.close("FINISHED")
    assert other.record["started"] <= other.record["ended"]


def test_numbers_go_on_after_the_highest_whatever_else_is_there(tmp_path):
    lineage = tmp_path / ".assay/journal/abc"
    for name in ("0007", "0003", "notes"):
        (lineage / name).mkdir(parents=True)
    assert next_folder(lineage).name == "0008"
    assert next_folder(lineage).name == "0009"
    assert next_folder(tmp_path / ".assay/journal/new").name == "0001"


def test_attempts_are_those_of_one_lineage_or_all(tmp_path):
    for lineage in ("b", "a", "b"):
        RunRecord.open(tmp_path, {**RECORD, "lineage": lineage})
    (tmp_path / ".assay/journal/b/0003").mkdir()  # a process that was killed before it wrote
    places = [each.folder.relative_to(tmp_path / ".assay/journal").as_posix() for each in attempts(tmp_path)]
    assert places == ["a/0001", "b/0001", "b/0002"]
    assert [each.folder.name for each in attempts(tmp_path, "b")] == ["0001", "0002"]


def test_a_key_tells_attempts_of_all_machines_apart(tmp_path):
    attempt = RunRecord.open(tmp_path, {**RECORD, "process": {"pid": 1, "host": "here"}})
    said = attempt.record
    keys = {attempt.key}
    for change in ({"lineage": "other"}, {"process": {"pid": 1, "host": "there"}}, {"started": "later"}):
        keys.add(attempt_key(attempt.folder, {**said, **change}))
    keys.add(attempt_key(attempt.folder.with_name("0002"), said))
    assert len(keys) == 5 and {len(key) for key in keys} == {16}
    attempt.close("FINISHED")
    assert attempt.key in keys, "it stays the same until the end"


def test_what_is_measured_of_another_run_is_kept_by_its_lineage_and_replaced(tmp_path):
    attempt, figure = RunRecord.open(tmp_path / "root", RECORD), tmp_path / "roc.png"
    for subject, content in (("one" * 10, b"one"), ("two" * 10, b"two"), ("one" * 10, b"newer")):
        figure.write_bytes(content)
        attempt.attach(subject, {"test/accuracy": float(len(content))}, [figure], {"stage": "evaluate"})
    kept = attempt.record["attached"]
    assert kept["one" * 10] == {
        "metrics": {"test/accuracy": 5.0},
        "figures": ["files/oneoneoneoneoneo/roc.png"],
        "tags": {"stage": "evaluate"},
    }
    assert (attempt.folder / kept["one" * 10]["figures"][0]).read_bytes() == b"newer"
    assert (attempt.folder / kept["two" * 10]["figures"][0]).read_bytes() == b"two"


def test_a_model_is_kept_and_replaced(tmp_path):
    attempt, model = RunRecord.open(tmp_path / "root", RECORD), tmp_path / "model"
    model.mkdir()
    for content in ("old", "new"):
        (model / "weights").write_text(content)
        attempt.add_model(model)
    assert attempt.record["model"] == "model"
    assert (attempt.folder / "model/weights").read_text() == "new"


def test_a_trial_has_the_circumstances_of_its_stage_and_results_of_its_own(tmp_path):
    parent = {key: f"the stage's {key}" for key in INHERITED}
    parent |= {"stage": "sweep", "lineage": "abc", "metrics": {"val/accuracy": 1.0}, "params": {"seed": 0}}
    child = child_record(parent, "trial", "trial-000", "def", {"lr": 0.1}, {"number": "0"})
    assert child == {
        **{key: f"the stage's {key}" for key in INHERITED},
        **{"stage": "trial", "name": "trial-000", "lineage": "def", "subject": "def", "parent": "abc"},
        **{"parents": {"sweep": "abc"}, "params": {"lr": 0.1}, "tags": {"number": "0"}},
        **{"numerics": {}, "metrics": {}, "outputs": {}, "figures": [], "model": None},
    }
