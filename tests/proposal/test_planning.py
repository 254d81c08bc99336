"""The budget and the measured times decide image size and epochs; what does not fit is not chosen."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from src.core.errors import AssayError
from src.proposal.candidates import Candidate, Way
from src.proposal.goals import Goal
from src.proposal.planning import Plan, plan
from src.proposal.proposal import choose
from src.proposal.timing import StepTimes


@dataclass
class Found:
    """As much of an inspection as these decisions read."""

    images: int = 1000
    classes: int = 10
    image_size: tuple[int, int] = (100, 100)

    @property
    def listing(self) -> Any:
        return type("Listing", (), {"items": range(self.images), "classes": range(self.classes)})

    @property
    def counts(self) -> dict[int, int]:
        return dict.fromkeys(range(self.classes), self.images // self.classes)


def candidate(way: Way, sides: Sequence[int] = (200, 100), epochs: int = 40, least: int = 10) -> Candidate:
    return Candidate(way, way, {}, {}, epochs, least, tuple(sides))


TIMES = StepTimes(training=0.01, inference=0.002, parameters=1000)  # at 100 × 100 pixels
EPOCH = 1000 * (0.65 * 0.01 + 0.15 * 0.002)  # seconds: 6.8


def test_the_largest_size_with_all_epochs_is_taken_and_cost_grows_with_the_area():
    rich = plan(candidate("scratch"), TIMES, Found(), budget=10_000)
    assert (rich.image_size, rich.epochs) == ((200, 200), 40)
    assert rich.seconds == pytest.approx(40 * 4 * EPOCH)
    medium = plan(candidate("scratch"), TIMES, Found(), budget=40.5 * EPOCH / 0.9)
    assert (medium.image_size, medium.epochs) == ((100, 100), 40)


def test_below_that_there_are_fewer_epochs_and_in_the_end_it_does_not_fit():
    poor = plan(candidate("scratch"), TIMES, Found(), budget=20.5 * EPOCH / 0.9)
    assert (poor.image_size, poor.epochs, poor.fits) == ((100, 100), 20, True)
    assert not plan(candidate("scratch"), TIMES, Found(), budget=9.5 * EPOCH / 0.9).fits


def test_a_head_costs_one_pass_over_all_images_however_many_epochs_it_has():
    features = 1000 * 0.002
    fitting = plan(candidate("head", least=40), TIMES, Found(), budget=4 * 2.1 * features)
    assert (fitting.image_size, fitting.epochs) == ((200, 200), 40)
    smaller = plan(candidate("head", least=40), TIMES, Found(), budget=4 * 1.9 * features)
    assert smaller.image_size == (100, 100)
    assert not plan(candidate("head", least=40), TIMES, Found(), budget=features).fits


def test_images_of_one_small_size_keep_it():
    found = Found(image_size=(8, 8))
    assert plan(candidate("scratch", sides=()), TIMES, found, budget=10_000).image_size == (8, 8)


def plans(*ways: Way, unfit: Sequence[Way] = ()) -> list[Plan]:
    sizes = {"head": 9, "all": 9, "scratch": 3}
    return [
        Plan(
            candidate(way),
            (100, 100),
            0 if way in unfit else 40,
            6000.0,  # of 40 epochs
            StepTimes(0.01, sizes[way] / 1000, sizes[way] * 1000),
        )
        for way in ways
    ]


def chosen(
    found: Found,
    goal: str = "accuracy",
    unfit: Sequence[Way] = (),
    ways: Sequence[Way] = ("head", "all", "scratch"),
):
    best, _ = choose(plans(*ways, unfit=unfit), found, Goal(goal))  # type: ignore[arg-type]
    return best.candidate.way


def test_few_images_train_a_head_and_many_train_all_weights_if_there_is_time():
    assert chosen(Found(images=500)) == "head"
    assert chosen(Found(images=5000)) == "all"
    assert chosen(Found(images=5000), unfit=["all"]) == "head"
    assert chosen(Found(images=5000), unfit=["all", "head"]) == "scratch"
    assert chosen(Found(images=500), ways=["scratch"]) == "scratch"


def test_size_and_speed_take_what_is_smallest_and_fastest():
    assert chosen(Found(images=500), "size") == "scratch"
    assert chosen(Found(images=500), "speed") == "scratch"
    assert chosen(Found(images=500), "size", unfit=["scratch", "all"]) == "head"


def test_without_time_for_anything_the_quickest_is_named():
    with pytest.raises(AssayError, match="the quickest needs about 25 minutes: raise --minutes"):
        choose(plans("scratch", unfit=["scratch"]), Found(), Goal("accuracy"))  # type: ignore[arg-type]
