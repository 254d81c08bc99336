"""The picture: who is on the front, that no name hides another, and that odd cases are drawn."""

import itertools
import warnings

import numpy as np
import pytest

from src.core.pareto import pareto_mask
from src.leaderboard.speed.pareto_plot import ACCURACY, BYTES, LATENCY, draw_pareto, find_bubbles
from src.leaderboard.table.rows import LeaderboardRow
from src.plotting.labels import Box, LabelledPoint, place_labels


@pytest.fixture(autouse=True)
def _no_warning():
    """A warning of matplotlib (missing letter, no room) is a fault of the figure."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def row(name, latency, accuracy, size=1e6):
    return LeaderboardRow(name, (), {LATENCY: latency, ACCURACY: accuracy, BYTES: size})


FAILED = LeaderboardRow("failed", ("export",), {}, "a reason")
CASES = {
    "one": [row("base", 1.3, 0.9)],
    "equal": [row("base", 1.0, 1.0), row("twin", 1.0, 1.0)],
    "failed": [row("base", 1.3, 0.93), row("a", 0.4, 0.92), FAILED],
    "hopeless": [row("base", 1.3, 0.93), row("a", 0.4, 0.92), row("b", 0.5, 0.925), row("c", 0.1, 0.1)],
    "wide": [row(f"v{index}", 10.0**index, 0.5 + index / 20, 10.0 ** (index + 3)) for index in range(-2, 4)],
    "odd names": [row("$x$", 1, 0.9), row("名", 2, 0.8), row("a" * 40, 3, 0.7)],
}


@pytest.mark.slow
@pytest.mark.parametrize("rows", CASES.values(), ids=CASES)
def test_every_case_is_drawn_the_same_each_time(tmp_path, rows):
    one, two = (draw_pareto(tmp_path / name, rows, "1 thread").read_bytes() for name in ("one", "two"))
    assert one == two


def test_the_front_is_what_nothing_beats():
    rows = [row("base", 1.3, 0.93), row("a", 0.4, 0.93), row("b", 0.2, 0.91), row("c", 0.3, 0.90), FAILED]
    assert {bubble.name: bubble.front for bubble in find_bubbles(rows)} == {
        "b": True,
        "c": False,
        "a": True,
        "base": False,
    }
    assert pareto_mask([(1, 1), (1, 1), (2, 0), (2, 2)]) == [True, True, True, False]


def test_names_hide_neither_each_other_nor_bubbles():
    random = np.random.default_rng(0)
    frame = Box(0, 0, 1000, 600)
    for _ in range(20):
        places = random.uniform([100, 80], [900, 520], (9, 2))
        points = [LabelledPoint(x, y, random.uniform(4, 22), random.uniform(50, 110), 28) for x, y in places]
        boxes = place_labels(points, frame)
        shared = sum(one.shared(other) for one, other in itertools.combinations(boxes, 2))
        assert shared == 0
        assert all(box.shared(frame) == pytest.approx(box.area) for box in boxes)
        hidden = sum(box.shared(point.box) for box in boxes for point in points)
        assert hidden < 0.02 * sum(box.area for box in boxes)


def test_a_lone_name_stands_right_beside_its_bubble():
    (box,) = place_labels([LabelledPoint(500, 300, 10, 80, 20)], Box(0, 0, 1000, 600))
    assert 510 < box.left < 520
    assert (box.bottom, box.top) == (290, 310)
    (box,) = place_labels([LabelledPoint(980, 300, 10, 80, 20)], Box(0, 0, 1000, 600))
    assert box.right < 970, "no room on the right"
