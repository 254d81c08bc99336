"""What is deployed, and when a variant is as good as the network: section ``register``."""

from collections.abc import Iterator

import numpy as np

from src.proposal.goals import Goal
from src.proposal.inspection import VAL, Inspection
from src.proposal.setting import Setting

NORMAL = 3.84  # square of the normal quantile of 0.025: two variants are tested at 0.05 in all
MARGIN = 0.02  # as in conf/register/default.yaml
ROOMY = 0.2  # up to here a margin leaves room for a few changed answers
WIDEST = 0.95  # the schema requires less than 1
DOUBTFUL = 0.1  # few people would accept a loss above that
MORE = 2 * VAL  # share of validation images to try where they are too few


def deployment(found: Inspection, goal: Goal) -> tuple[list[Setting], list[str]]:
    """Settings, and sentences about them; the margin is above what the validation images can show."""
    images = found.validation_images
    margin = smallest_margin(images)
    settings = []
    sentences = [
        "The network as ONNX, and the same with int8 weights, a quarter of the size: the registry takes int8 "
        "if it is not worse.",
    ]
    if margin > MARGIN:
        reason = _limit(images)
        settings.append(Setting("register.policy.margin", margin, reason))
        sentences.append(f"{reason.capitalize()}, so the margin is {100 * margin:.0f} points.")
    if goal.name == "size":
        settings.append(Setting("register.policy.optimize", "model/bytes", "the goal is size"))
    return settings, sentences


def doubt_margin(found: Inspection) -> Iterator[str]:
    """A sentence if the margin is so wide that it promises little, with what would help."""
    margin = smallest_margin(found.validation_images)
    if margin <= DOUBTFUL:
        return
    total = len(found.listing.items)
    given = any(item.given_split == "val" for item in found.listing.items)
    more = (
        "Add validation images."
        if given
        else f"Add images, or hold more of them out: with split.val={MORE:g} a margin of "
        f"{100 * smallest_margin(int(MORE * total)):.0f} points is enough (register.policy.margin)."
    )
    yield (
        f"Only {found.validation_images:,} validation images: int8 may be registered although it is up to "
        f"{100 * margin:.0f} points worse. {more}"
    )


def smallest_margin(images: int) -> float:
    """A margin that this many validation images can show, as a share, and never below the default."""
    least = _undetected(images)
    roomy = np.ceil(150 * least) / 100
    if roomy <= ROOMY:
        return float(max(roomy, MARGIN))
    tight = np.ceil(22 * least) / 20  # steps of 5 points; a tenth more, because a split may draw fewer images
    return float(np.clip(tight, ROOMY, WIDEST))


def _limit(images: int) -> str:
    loss = f"{100 * _undetected(images):.1f} points"
    return f"with {images:,} validation images, a loss of up to {loss} cannot be ruled out"


def _undetected(images: int) -> float:
    """The loss that so many images without a disagreement cannot rule out (Tango, 1998)."""
    return NORMAL / (images + NORMAL)
