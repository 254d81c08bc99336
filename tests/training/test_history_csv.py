"""history.csv: columns are the names of the curves."""

import csv

from benchmarks.clones import best_accuracy
from src.training.history_csv import write_history

ROW = {"epoch": 1, "train/loss": 2 / 3, "val/loss": 1.5, "val/accuracy": 0.25, "lr": 1e-5}


def test_curves_carry_the_prefix_epoch(tmp_path):
    write_history(tmp_path / "history.csv", [ROW, {**ROW, "epoch": 2}], ["a1", "b2"])
    with (tmp_path / "history.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == [
        "epoch",
        "epoch/train/loss",
        "epoch/val/loss",
        "epoch/val/accuracy",
        "epoch/lr",
        "weights",
    ]
    numbers = ["0.6666666667", "1.5", "0.25", "1e-05"]
    assert rows == [["1", *numbers, "a1"], ["2", *numbers, "b2"]]


def test_benchmarks_find_the_accuracy_of_the_best_epoch(tmp_path):
    rows = [
        {**ROW, "epoch": epoch, "val/accuracy": value} for epoch, value in ((1, 0.25), (2, 0.75), (3, 0.5))
    ]
    write_history(tmp_path / "history.csv", rows, ["a1", "b2", "c3"])
    assert best_accuracy(tmp_path / "history.csv") == 0.75
