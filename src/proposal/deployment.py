"""What is deployed, and when a variant is as good as the network: section ``register``."""

import numpy as np

from src.proposal.goals import Goal
from src.proposal.inspection import Inspection
from src.proposal.setting import Setting

NORMAL = 3.84  # square of the normal quantile of 0.025: two variants are tested at 0.05 in all
MARGIN = 0.02  # as in conf/register/default.yaml
WIDEST = 0.2  # a margin above that would mean nothing


def deployment(found: Inspection, goal: Goal) -> tuple[list[Setting], list[str]]:
    """Settings, and sentences about them; the margin is no smaller than the validation images can show."""
    images = found.validation_images
    least = NORMAL / (images + NORMAL)  # what so many images without a disagreement show (Tango, 1998)
    margin = float(np.clip(np.ceil(150 * least) / 100, MARGIN, WIDEST))
    settings = []
    sentences = [
        "The network as ONNX, and the same with int8 weights, a quarter of the size: the registry takes int8 "
        "if it is not worse.",
    ]
    if margin > MARGIN:
        settings.append(
            Setting(
                "register.policy.margin", margin, f"{images:,} validation images can show no smaller loss"
            )
        )
        sentences.append(
            f"{images:,} validation images cannot rule out a loss below {100 * least:.1f} points, so the "
            f"margin is {100 * margin:.0f} points."
        )
    if goal.name == "size":
        settings.append(Setting("register.policy.optimize", "model/bytes", "the goal is size"))
    return settings, sentences
