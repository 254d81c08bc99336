"""Figures are pictures of the right size, and the same bytes each time, whatever the data look like."""

import math
import warnings

import matplotlib
import numpy as np
import pytest
from PIL import Image

from src.evaluation.metrics import classification
from src.evaluation.metrics.calibration import reliability
from src.evaluation.metrics.curves import Curve, macro_pr, macro_roc, pr_curves, roc_curves
from src.evaluation.report.confusion import draw_confusion
from src.evaluation.report.curves import draw_pr, draw_roc
from src.evaluation.report.gallery import draw_mistakes
from src.evaluation.report.history import best_index, draw_history
from src.evaluation.report.misclassified import Misclassified
from src.evaluation.report.reliability import draw_reliability
from src.plotting.style import LONGEST, legible
from src.training.early_stopping import best_epoch
from tests.support.scores import case, scores


@pytest.fixture(autouse=True)
def _no_warning():
    """A warning of matplotlib (missing letter, no room) is a fault of the figure."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


HISTORY = {
    "epoch": [1, 2],
    "epoch/train/loss": [2, 1],
    "epoch/val/loss": [2, 1],
    "epoch/val/accuracy": [0.1, 0.9],
}


def draw_all(folder, probabilities, targets, names, mistakes=()):
    folder.mkdir(exist_ok=True)
    predicted = classification.predict(probabilities)
    missing = [name for index, name in enumerate(names) if index not in targets]
    roc, pr = roc_curves(probabilities, targets, names), pr_curves(probabilities, targets, names)
    return [
        draw_confusion(
            folder / "confusion.png", classification.confusion(targets, predicted, len(names)), names
        ),
        draw_roc(folder / "roc.png", roc, macro_roc(roc) if len(roc) > 1 else None, missing),
        draw_pr(folder / "pr.png", pr, macro_pr(pr) if len(pr) > 1 else None, missing),
        draw_reliability(folder / "reliability.png", reliability(probabilities, targets, 15), 0.1),
        draw_mistakes(folder / "mistakes.png", mistakes, len(mistakes), len(targets)),
        draw_history(folder / "curves.png", HISTORY),
    ]


def contents(paths):
    return {path.name: path.read_bytes() for path in paths}


def is_drawn(path):
    """Whether the picture is large enough and not blank."""
    with Image.open(path) as picture:
        return min(picture.size) >= 200 and len(set(picture.convert("L").tobytes())) > 1


CASES = ["two classes", "two, imbalanced", "three, one missing", "ten classes", "ten, three missing"]


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_every_figure_is_drawn(tmp_path, name):
    probabilities, targets = case(name)
    names = [f"class {index}" for index in range(probabilities.shape[1])]
    assert all(is_drawn(path) for path in draw_all(tmp_path, probabilities, targets, names))


@pytest.mark.slow
def test_same_bytes_each_time_whatever_the_user_has_set(tmp_path):
    probabilities, targets = case("ten classes")
    names = [f"class {index}" for index in range(10)]
    mistakes = [Misclassified(np.full((3, 8, 8), 90, np.uint8), "a", "b", 0.9)]
    first = contents(draw_all(tmp_path / "first", probabilities, targets, names, mistakes))
    with matplotlib.rc_context({"font.size": 20, "axes.grid": True, "lines.linewidth": 9, "savefig.dpi": 30}):
        second = contents(draw_all(tmp_path / "second", probabilities, targets, names, mistakes))
    assert first == second


def test_no_trace_of_the_machine(tmp_path):
    for path in draw_all(tmp_path, *case("three classes"), ["a", "b", "c"]):
        with Image.open(path) as picture:
            assert set(picture.info) <= {"dpi"}


@pytest.mark.slow
def test_a_hundred_classes_keep_a_readable_size(tmp_path):
    probabilities, targets = scores(100, [4] * 100, 3.0, 0)
    names = [f"class number {index}" for index in range(100)]
    for path in draw_all(tmp_path, probabilities, targets, names):
        with Image.open(path) as picture:
            assert picture.width <= 2800
            assert picture.height <= 1500


def test_one_class_alone_says_that_there_is_no_curve(tmp_path):
    probabilities, targets = scores(3, [0, 9, 0], 1.0, 0)
    draw_all(tmp_path, probabilities, targets, ["a", "b", "c"])
    full = draw_roc(tmp_path / "full.png", [Curve("a", *[np.array([0.0, 1.0])] * 2, 0.5)], None, [])
    assert (tmp_path / "roc.png").read_bytes() != full.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("count", [0, 1, 4, 25, 64])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 30, 90), (3, 90, 30)])
def test_gallery_of_any_number_and_shape(tmp_path, count, shape):
    image = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    mistakes = [Misclassified(image, "Ankle boot", "Sneaker", 0.99)] * count
    assert is_drawn(draw_mistakes(tmp_path / "mistakes.png", mistakes, count, 1000))


def test_history_with_gaps_and_of_one_epoch(tmp_path):
    gaps = {"epoch": [1, 2], "epoch/train/loss": [1.0, math.nan], "epoch/val/loss": [math.nan] * 2}
    assert is_drawn(draw_history(tmp_path / "gaps.png", gaps))
    one = {"epoch": [1], "epoch/train/loss": [1.0], "epoch/val/loss": [1.0], "epoch/val/accuracy": [0.5]}
    assert is_drawn(draw_history(tmp_path / "one.png", one))


def test_the_epoch_that_is_marked_is_the_one_that_training_keeps():
    loss, accuracy = "epoch/val/loss", "epoch/val/accuracy"
    history = {"epoch": [1, 2, 3, 4], loss: [0.5, 0.4, 0.4, 0.3], accuracy: [0.9, 0.9, 0.9, 0.8]}
    rows = [
        {name.removeprefix("epoch/"): history[name][row] for name in history if name != "epoch"}
        | {"epoch": row + 1}
        for row in range(4)
    ]
    for column in (loss, accuracy):
        assert best_index(history, column) + 1 == best_epoch(rows, column.removeprefix("epoch/"))
    assert best_index({loss: [math.nan, 2.0, math.nan]}, loss) == 1


def test_names_are_made_drawable():
    names = [
        "Ünïcode",
        "猫",
        "$x$",
        "the left hand of a clock",
        "the left hand of a robot",
        "two\nlines",
    ]
    shown = legible(names)
    assert shown[:3] == ["Ünïcode", "class 1", "$x$"]
    assert all(len(name) <= LONGEST for name in shown)
    assert shown[3] != shown[4]
    assert shown[5] == "class 5"


def test_names_with_a_dollar_or_another_script_are_drawn(tmp_path):
    probabilities, targets = case("three classes")
    draw_all(tmp_path, probabilities, targets, legible(["$x", "猫", "a_b^{"]))
