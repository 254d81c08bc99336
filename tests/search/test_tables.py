"""Tables of a search: files with the same bytes for the same trials, and text that fits a terminal."""

import csv
import json
import re

import pytest
from rich.console import Console

from src.search.engine.distributions import Categorical, Range
from src.search.engine.plan import SearchPlan
from src.search.engine.records import Trial, TrialResult
from src.search.engine.space import SearchSpace
from src.search.engine.trial_log import SearchProgress
from src.search.report.live_view import live_view
from src.search.report.tables import (
    best_table,
    format_value,
    importance_table,
    short_names,
    write_importance,
    write_trials,
)

FIELDS = {
    "train.optimizer.lr": Range(1e-4, 1e-1, log=True),
    "model.widths": Categorical(([8, 16], [16, 32])),
    "train.schedule.name": Categorical(("cosine", "step")),
}
TRIALS = [
    Trial(
        0,
        {"train.optimizer.lr": 0.012345678901234, "model.widths": [8, 16], "train.schedule.name": "cosine"},
        TrialResult("complete", {"val/accuracy": 1 / 3, "model/bytes": 150_000.0}, epochs=10),
    ),
    Trial(1, {"train.optimizer.lr": 0.1}, TrialResult("failed", reason='loss is NaN, "really"')),
    Trial(
        2,
        {"train.optimizer.lr": 0.001, "model.widths": [16, 32], "train.schedule.name": "step"},
        TrialResult("complete", {"val/accuracy": 0.9, "model/bytes": 250_000.0}, epochs=10),
    ),
    Trial(
        3,
        {"train.optimizer.lr": 0.01},
        TrialResult("pruned", {"val/accuracy": 0.2}, {1: 0.2}, 1, reason="median"),
    ),
    Trial(
        4,
        {"train.optimizer.lr": 0.001, "model.widths": [16, 32], "train.schedule.name": "step"},
        TrialResult("complete", {"val/accuracy": 0.9, "model/bytes": 250_000.0}, epochs=10),
        reused=2,
    ),
]


def plan(constraints=(), objectives=None, domains=FIELDS):
    return SearchPlan(
        "study",
        "tpe",
        SearchSpace(domains),
        5,
        1,
        "none",
        objectives or {"val/accuracy": "maximize"},
        constraints,
        0,
        3,
        10,
    )


def shown(table, width=100):
    console = Console(width=width, record=True, file=None, quiet=False, force_terminal=False)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def test_trials_are_a_line_each(tmp_path):
    write_trials(tmp_path / "trials.csv", TRIALS, list(FIELDS), ["model/bytes <= 200000"])
    with (tmp_path / "trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        *("number", "state", "reused", "epochs", "val/accuracy", "model/bytes"),
        *FIELDS,
        *("kept", "reason"),
    ]
    assert rows[0]["val/accuracy"] == "0.3333333333"
    assert rows[0]["train.optimizer.lr"] == "0.0123456789"
    assert [json.loads(row["model.widths"]) for row in rows if row["model.widths"]] == [
        [8, 16],
        [16, 32],
        [16, 32],
    ]
    assert [row["state"] for row in rows] == ["complete", "failed", "complete", "pruned", "complete"]
    assert [row["kept"] for row in rows] == ["true", "", "false", "", "false"]
    assert [row["reused"] for row in rows] == ["", "", "", "", "2"]
    assert rows[1]["val/accuracy"] == rows[1]["model.widths"] == ""
    assert rows[1]["reason"] == 'loss is NaN, "really"'


def test_no_trials_are_a_header(tmp_path):
    write_trials(tmp_path / "trials.csv", [], [])
    assert (tmp_path / "trials.csv").read_bytes() == b"number,state,reused,epochs,kept,reason\n"


def test_same_trials_same_bytes_whatever_their_settings_order(tmp_path):
    turned = [Trial(t.number, dict(reversed(t.settings.items())), t.outcome, t.reused) for t in TRIALS]
    for name, trials in (("one", TRIALS), ("other", turned)):
        write_trials(tmp_path / name, trials, list(FIELDS))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_importance_is_sorted(tmp_path):
    write_importance(tmp_path / "importance.csv", {"b": 0.25, "c": 0.5, "a": 0.25})
    assert (tmp_path / "importance.csv").read_text() == "field,importance\nc,0.5\na,0.25\nb,0.25\n"
    bars = [
        line.count("━") for line in shown(importance_table({"b": 0.25, "c": 0.5, "zero": 0})).splitlines()
    ]
    assert sorted(bars)[-2:] == [16, 32]


def test_best_first_then_the_rest():
    lines = shown(best_table(TRIALS, plan(("model/bytes <= 200000",)), n=9)).splitlines()
    assert lines[0].strip() == "5 trials: 3 complete, 1 pruned, 1 failed"
    rows = [line.split() for line in lines[2:]]
    assert [row[0] for row in rows] == ["0", "2", "3", "1"]  # 4 is the same as 2
    assert "breaks model/bytes <= 200000" in lines[3]
    assert "pruned" in lines[4]
    assert "failed: loss is NaN" in lines[5]
    assert re.search(
        r"2 +0\.9000 .*\[16,32\] +step +complete, reused as 4", shown(best_table(TRIALS, plan()))
    )


def test_only_n_are_shown():
    assert len(shown(best_table(TRIALS, plan(), n=2)).splitlines()) == 4


def test_many_fields_fit_the_terminal():
    fields = {f"train.optimizer.field_{index}": Range(0, 1) for index in range(12)}
    trial = Trial(0, dict.fromkeys(fields, 0.123456789), TrialResult("complete", {"val/accuracy": 0.5}))
    text = shown(best_table([trial], plan(domains=fields)))
    assert max(map(len, text.splitlines())) <= 100
    assert all(f"field_{index}=0.1235" in text for index in range(12))


def test_brackets_are_no_markup():
    trial = Trial(0, {"model.widths": "[bold]"}, TrialResult("failed", reason="[red]x[/red] [/oops]"))
    text = shown(best_table([trial], plan()))
    assert "[red]x[/red] [/oops]" in text and "[bold]" in text


def test_short_names_tell_fields_apart():
    fields = ["train.schedule.name", "train.optimizer.name", "train.optimizer.lr", "model", "model.dropout"]
    assert list(short_names(fields).values()) == ["schedule.name", "optimizer.name", "lr", "model", "dropout"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.00123456, "0.001235"),
        ([16, 32, 64], "[16,32,64]"),
        (True, "true"),
        (64, "64"),
        (123456, "123,456"),
        ("a" * 30 + "z" * 10, "a" * 12 + "…" + "a" + "z" * 10),
    ],
)
def test_short_values(value, text):
    assert format_value(value) == text
    assert len(format_value(value)) <= 24


def snapshots(trials, total, step):
    """The progress as a search reports it, two trials at a time."""
    for ended in range(0, total + 1, step):
        yield SearchProgress(total, tuple(trials[:ended]), min(2, total - ended))


def test_a_log_gets_a_line_for_each_tenth():
    trials = [Trial(n, {}, TrialResult("complete", {"val/accuracy": n / 100})) for n in range(40)]
    said = []
    with live_view(plan(), True, said.append, Console(force_terminal=False)) as on_progress:
        for progress in snapshots(trials, 40, 1):
            on_progress(progress)
    assert [line.partition(" of")[0] for line in said] == [str(n) for n in range(4, 41, 4)]
    assert said[-1].startswith("40 of 40 trials (40 complete); best val/accuracy 0.3900 (trial 39)")


def test_a_log_says_nothing_twice():
    said = []
    with live_view(plan(), False, said.append) as on_progress:
        for _ in range(3):
            on_progress(SearchProgress(5, tuple(TRIALS), 0))
    assert len(said) == 1
    assert "3 complete, 1 pruned, 1 failed, 1 reused" in said[0]


def test_a_terminal_sees_how_it_stands():
    console = Console(force_terminal=True, width=100, color_system=None)
    with console.capture() as capture, live_view(plan(), True, pytest.fail, console) as on_progress:
        for progress in snapshots(TRIALS, 5, 1):
            on_progress(progress)
    text = capture.get()
    assert "5/5" in text and "2 running" in text
    assert "val/accuracy 0.9000 (trial 2)" in text
    assert re.search(r"0:0\d, about 0:0\d left", text)


def test_nothing_good_yet():
    said = []
    with live_view(plan(("model/bytes <= 1",)), False, said.append) as on_progress:
        on_progress(SearchProgress(10, tuple(TRIALS), 1))
    assert said == [
        "5 of 10 trials (3 complete, 1 running, 1 pruned, 1 failed, 1 reused); no usable trial yet"
    ]
