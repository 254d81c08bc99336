"""What differs in two files, and whether it is within the stated tolerance."""

import json

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from src.auditing.file_comparison import compare_files


@pytest.fixture
def pair(tmp_path):
    """Two folders, and a function that compares a file of the same name in both."""
    folders = [tmp_path / side for side in ("recorded", "remade")]
    for folder in folders:
        folder.mkdir()
    return folders, lambda name: compare_files(f"there/{name}", folders[0] / name, folders[1] / name)


def test_weights_name_the_layers_that_moved_most(pair):
    (one, other), compare = pair
    layers = {name: np.ones(4, np.float32) for name in ("a", "b", "c")}
    save_file(layers, one / "model.safetensors")
    save_file({**layers, "b": layers["b"] + 0.5, "c": layers["c"] + 0.25}, other / "model.safetensors")
    found = compare("model.safetensors")
    assert found.within
    assert found.text == "2 of 3 layers differ, most of all b by 0.5 (50%); c by 0.25 (25%)"


def test_other_layers_are_beyond_any_tolerance(pair):
    (one, other), compare = pair
    save_file({"a": np.ones(4)}, one / "model.safetensors")
    save_file({"a": np.ones(5)}, other / "model.safetensors")
    assert not compare("model.safetensors").within


@pytest.mark.parametrize(("changed", "within"), [(5, True), (6, False)])
def test_predictions_count_changed_classes(pair, changed, within):
    (one, other), compare = pair
    table = pd.DataFrame({"id": range(100), "predicted": 0, "p_0": 0.75})
    table.to_parquet(one / "predictions.parquet")
    table["predicted"] = [1] * changed + [0] * (100 - changed)
    table["p_0"] = 0.5
    table.to_parquet(other / "predictions.parquet")
    found = compare("predictions.parquet")
    assert (found.text, found.within) == (
        f"{changed} of 100 predictions changed class; an output differs by 0.25 at most",
        within,
    )


@pytest.mark.parametrize(
    ("value", "within"),
    [(0.93, True), (0.96, True), (0.97, False), (0.89, False)],
    ids=["inside", "at the end of the interval", "above", "below"],
)
def test_a_figure_stays_within_its_recorded_interval(pair, value, within):
    (one, other), compare = pair
    (one / "metrics.json").write_text(json.dumps({"accuracy": {"value": 0.93, "low": 0.9, "high": 0.96}}))
    (other / "metrics.json").write_text(json.dumps({"accuracy": {"value": value, "low": 0.8, "high": 0.97}}))
    assert compare("metrics.json").within is within


@pytest.mark.parametrize(("share", "within"), [(0.919, True), (0.921, False), (0.87, False)])
def test_a_figure_without_an_interval_moves_by_two_points_at_most(pair, share, within):
    (one, other), compare = pair
    (one / "variant.json").write_text(json.dumps({"validation_accuracy": 0.9, "bytes": 1000}))
    (other / "variant.json").write_text(json.dumps({"validation_accuracy": share, "bytes": 1024}))
    assert compare("variant.json").within is within


def test_what_was_to_be_a_number_and_is_none_is_beyond(pair):
    (one, other), compare = pair
    (one / "variant.json").write_text(json.dumps({"status": "ok"}))
    (other / "variant.json").write_text(json.dumps({"status": "failed"}))
    found = compare("variant.json")
    assert not found.within and "status ok is failed" in found.text


def test_pixels_may_not_differ(pair):
    (one, other), compare = pair
    np.save(one / "images.npy", np.zeros((2, 3), np.uint8))
    np.save(other / "images.npy", np.eye(2, 3, dtype=np.uint8))
    found = compare("images.npy")
    assert (found.text, found.within) == ("2 of 6 values differ", False)


def test_a_damaged_file_is_said_to_be_one(pair):
    (one, other), compare = pair
    for folder in (one, other):
        (folder / "metrics.json").write_text("{")
    found = compare("metrics.json")
    assert not found.within and found.text.startswith("cannot be compared: JSONDecodeError")


def test_a_history_names_the_first_epoch_whose_weights_differ(pair):
    (one, other), compare = pair
    for folder, hashes in ((one, "abc"), (other, "abd")):
        rows = [f"{epoch},0.5,{weights}" for epoch, weights in enumerate(hashes, 1)]
        (folder / "history.csv").write_text("\n".join(["epoch,epoch/val/loss,weights", *rows]))
    assert compare("history.csv").text == "1 of 12 cells differ; the weights differ from epoch 3 on"


def test_a_history_of_the_same_weights_names_no_epoch(pair):
    (one, other), compare = pair
    for folder, loss in ((one, "0.5"), (other, "0.25")):
        (folder / "history.csv").write_text(f"epoch,epoch/val/loss,weights\n1,{loss},a\n")
    assert compare("history.csv").text == "1 of 6 cells differ, by 0.25 at most"
