"""The margin is above what the validation images can show, and a wide one is doubted."""

from dataclasses import dataclass
from typing import Any

import pytest

from src.proposal.deployment import NORMAL, deployment, doubt_margin, smallest_margin
from src.proposal.goals import Goal


@dataclass
class Found:
    """As much of an inspection as these decisions read."""

    images: int
    given: bool = False

    @property
    def validation_images(self) -> int:
        return int(0.15 * self.images)

    @property
    def listing(self) -> Any:
        item = type("Item", (), {"given_split": "val" if self.given else None})
        return type("Listing", (), {"items": [item] * self.images})


def written_margin(images: int) -> Any:
    settings, _ = deployment(Found(images), Goal("accuracy"))
    return {each.key: each.value for each in settings}.get("register.policy.margin")


@pytest.mark.parametrize("images", [1, 2, 5, 10, 15, 24, 25, 40, 120, 191, 192, 5000])
def test_a_margin_is_above_what_the_images_can_show(images):
    assert NORMAL / (images + NORMAL) < smallest_margin(images) < 1


def test_the_fewer_the_images_the_wider_the_margin():
    margins = [smallest_margin(images) for images in range(2000)]
    assert margins == sorted(margins, reverse=True)
    assert margins[0] < 1


@pytest.mark.parametrize(("images", "margin"), [(106, 0.25), (802, 0.05), (5000, None)])
def test_it_is_written_down_only_where_the_default_is_too_small(images, margin):
    assert written_margin(images) == margin


def test_the_sentence_has_the_limit_and_the_margin_above_it():
    _, sentences = deployment(Found(106), Goal("accuracy"))
    assert sentences[-1] == (
        "With 15 validation images, a loss of up to 20.4 points cannot be ruled out, so the margin is "
        "25 points."
    )


def test_a_margin_above_ten_points_is_doubted_with_what_helps():
    (doubt,) = doubt_margin(Found(106))
    assert "Only 15 validation images" in doubt
    assert "up to 25 points worse" in doubt
    assert "with split.val=0.3 a margin of 17 points is enough" in doubt
    assert [*doubt_margin(Found(802))] == []


def test_where_the_split_is_given_its_share_is_no_advice():
    (doubt,) = doubt_margin(Found(106, given=True))
    assert doubt.endswith("Add validation images.")
