"""Figures of a search are drawn whatever the trials look like, and are the same bytes each time."""

import math
import random
import warnings

import matplotlib
import pytest
from PIL import Image

from src.search.engine.distributions import Categorical, Range
from src.search.engine.plan import SearchPlan
from src.search.engine.records import Trial, TrialResult
from src.search.engine.space import SearchSpace
from src.search.report import drawing
from src.search.report.axis_scales import number_scale, scale_of
from src.search.report.front import draw_front
from src.search.report.history import draw_history
from src.search.report.parallel import draw_parallel
from src.search.report.slices import draw_slices

ONE = {"train.optimizer.lr": Range(1e-3, 1e-2, log=True)}
SOME = {
    "model": Categorical(("cnn", "lenet")),
    **ONE,
    "model.dropout": Range(0, 0.3),
    "model.widths": Categorical(([8, 16], [16, 32], [16, 32, 64])),
    "train.epochs": Range(1, 5, integer=True),
    "train.batch_size": Range(16, 256, log=True, integer=True),
}
TWELVE = SOME | {f"train.field_{index}": Categorical((True, False)) for index in range(3)}
TWELVE |= {f"train.other_{index}": Range(-1, 1) for index in range(3)}
ACCURACY = {"val/accuracy": "maximize"}
SIZE = {"val/accuracy": "maximize", "model/parameters": "minimize"}


@pytest.fixture(autouse=True)
def _no_warning():
    """A warning of matplotlib (missing letter, no room) is a fault of the figure."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def plan(domains, objectives, constraints=()):
    groups = tuple(key for key in domains if "." not in key)
    return SearchPlan(
        "study", "tpe", SearchSpace(domains, groups), 30, 4, "median", objectives, constraints, 0, 3, 10
    )


def a_value(domain, draw):
    if isinstance(domain, Categorical):
        return draw.choice(domain.values)
    share = draw.random()
    if domain.log:
        value = domain.low * (domain.high / domain.low) ** share
    else:
        value = domain.low + share * (domain.high - domain.low)
    return round(value) if domain.integer else value


def some_trials(count, domains, states=("complete", "pruned", "failed")):
    draw, trials = random.Random(7), []
    for number in range(count):
        settings = {field: a_value(domain, draw) for field, domain in domains.items()}
        if settings.get("model") == "lenet":
            settings.pop("model.widths", None)
        accuracy, state = draw.random() ** 0.1, states[number % len(states)]
        size = 10 ** draw.uniform(3, 6)
        reached = {
            "val/accuracy": accuracy,
            "val/loss": 1 - accuracy,
            "model/parameters": size,
            "model/bytes": 4 * size,
        }
        figures_of = {"complete": reached, "pruned": {}, "failed": {}}[state]
        trials.append(Trial(number, settings, TrialResult(state, figures_of, {1: 0.2, 2: accuracy}, 2)))
    if count > 8:
        trials[8] = Trial(8, trials[0].settings, trials[0].outcome, reused=0)
    return trials


CASES = {
    "none": ([], plan(SOME, ACCURACY)),
    "none, two objectives": ([], plan(SOME, SIZE)),
    "one": (some_trials(1, SOME), plan(SOME, ACCURACY)),
    "one of one field": (some_trials(1, ONE), plan(ONE, SIZE)),
    "two": (some_trials(2, SOME, ("complete",)), plan(SOME, SIZE)),
    "two alike": (
        [
            Trial(
                n,
                {"train.optimizer.lr": 0.005},
                TrialResult("complete", {"val/accuracy": 0.0, "model/parameters": 0.0}),
            )
            for n in (0, 1)
        ],
        plan(ONE, SIZE),
    ),
    "all failed": (some_trials(3, SOME, ("failed",)), plan(SOME, SIZE)),
    "all pruned": (some_trials(3, SOME, ("pruned",)), plan(SOME, ACCURACY)),
    "all break a constraint": (some_trials(5, SOME, ("complete",)), plan(SOME, SIZE, ("model/bytes <= 1",))),
    "not finite": (
        [Trial(0, {"train.optimizer.lr": 0.01}, TrialResult("complete", {"val/accuracy": math.nan}))],
        plan(ONE, SIZE),
    ),
    "forty": (some_trials(40, SOME), plan(SOME, ACCURACY)),
    "two objectives, constraints": (
        some_trials(30, SOME),
        plan(SOME, SIZE, ("model/parameters <= 90000", "val/accuracy >= 0.5")),
    ),
    "three objectives": (some_trials(12, SOME), plan(SOME, {**SIZE, "model/bytes": "minimize"})),
    "twelve fields": (some_trials(25, TWELVE), plan(TWELVE, ACCURACY)),
}


def draw_all(folder, trials, search):
    folder.mkdir(exist_ok=True)
    paths = [
        draw_history(folder / "history.png", trials, search),
        draw_parallel(folder / "parallel.png", trials, search),
        draw_slices(folder / "slices.png", trials, search),
    ]
    if len(search.objectives) > 1:
        paths.append(draw_front(folder / "front.png", trials, search))
    return paths


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_every_figure_is_drawn(tmp_path, case):
    for path in draw_all(tmp_path, *CASES[case]):
        with Image.open(path) as picture:
            assert min(picture.size) >= 200
            assert len(set(picture.convert("L").tobytes())) > 1
            assert set(picture.info) <= {"dpi"}  # no trace of the machine


@pytest.mark.slow
def test_same_bytes_each_time_whatever_the_user_has_set(tmp_path):
    trials, search = CASES["two objectives, constraints"]
    first = [path.read_bytes() for path in draw_all(tmp_path / "first", trials, search)]
    with matplotlib.rc_context({"font.size": 20, "axes.grid": True, "lines.linewidth": 9, "savefig.dpi": 30}):
        second = [path.read_bytes() for path in draw_all(tmp_path / "second", trials, search)]
    assert first == second


@pytest.mark.prove
def test_what_is_drawn_depends_on_the_trials(tmp_path):
    trials, search = CASES["two objectives, constraints"]
    first = draw_all(tmp_path / "all", trials, search)
    second = draw_all(tmp_path / "fewer", trials[:-3], search)
    assert all(one.read_bytes() != other.read_bytes() for one, other in zip(first, second, strict=True))


def test_scales_place_values():
    log = scale_of(Range(1e-4, 1e-2, log=True))
    assert [log.place(value) for value in (1e-4, 1e-3, 1e-2)] == pytest.approx([0, 0.5, 1])
    assert [text for _, text in log.ticks] == ["0.0001", "0.0003", "0.001", "0.003", "0.01"]
    lists = scale_of(Categorical(([8], [8, 16])))
    assert [lists.place([8]), lists.place([8, 16])] == [0.25, 0.75]
    assert [text for _, text in lists.ticks] == ["[8]", "[8,16]"]
    whole = scale_of(Range(1, 4, integer=True))
    assert [whole.place(value) for value in (1, 4)] == [0.125, 0.875]
    assert [text for _, text in whole.ticks] == ["1", "2", "3", "4"]
    assert scale_of(Categorical((True, 1, "1"))).place(1) == 0.5  # equal to True in Python, but not here


def test_both_ends_have_a_tick():
    assert [text for _, text in scale_of(Range(0, 0.3)).ticks] == ["0", "0.1", "0.2", "0.3"]


def test_a_scale_of_one_value():
    assert number_scale(3, 3).place(3) == 0.5


def test_ticks_lie_on_their_axis():
    for low, high, log in [
        (0, 1, False),
        (1e-5, 1e-1, True),
        (0.002, 0.2, True),
        (3, 4, True),
        (-5, 3e5, False),
    ]:
        ticks = number_scale(low, high, log).ticks
        assert 2 <= len(ticks) <= 8
        assert all(-1e-6 <= place <= 1 + 1e-6 for place, _ in ticks)


def test_an_outlier_does_not_squash_the_picture():
    good = [Trial(n, {}, TrialResult("complete", {"val/accuracy": 0.97 + n / 1000})) for n in range(10)]
    lost = [Trial(10, {}, TrialResult("complete", {"val/accuracy": 0.1}))]
    window = drawing.window_of([*good, *lost], plan(ONE, ACCURACY), "val/accuracy")
    assert 0.9 < window.low < 0.97
    assert 0.979 < window.high < 0.99
