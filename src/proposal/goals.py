"""What a person wants from a classifier, and the training settings that serve this goal."""

from collections.abc import Sequence
from dataclasses import dataclass

from src.config.suggestions import did_you_mean
from src.core.errors import AssayError
from src.proposal.setting import Setting

RECALL = "recall:"
PLAIN = ("accuracy", "balanced", "size", "speed")
STEADY = 500  # validation images, from which the accuracy of an epoch says more than chance
WEIGHT = 3.0  # of the class whose recall is the goal; the others have 1


@dataclass(frozen=True)
class Goal:
    """One of `PLAIN`, or recall of ``of_class``."""

    name: str
    of_class: str | None = None


def parse_goal(text: str) -> Goal:
    """The goal that ``--goal`` names.

    Raises:
        AssayError: it is unknown.
    """
    if text.startswith(RECALL) and text != RECALL:
        return Goal("recall", text.removeprefix(RECALL))
    if text not in PLAIN:
        known = [*PLAIN, f"{RECALL}CLASS"]
        raise AssayError(
            f"--goal must be one of {', '.join(known)}, but got {text}{did_you_mean(text, known)}"
        )
    return Goal(text)


def refuse_unknown_class(goal: Goal, classes: Sequence[str], tested: Sequence[str]) -> None:
    """
    Raises:
        AssayError: the goal is the recall of a class that does not exist, or that is not ``tested``.
    """
    name = goal.of_class
    if name is None or name in tested:
        return
    if name in classes:
        raise AssayError(
            f"--goal {RECALL}{name}: the class has too few different images to be held out, so its recall "
            "cannot be measured. Add images of it, or choose another goal"
        )
    near = did_you_mean(name, classes)
    raise AssayError(f"--goal {RECALL}{name}: no class is called so{near}. The classes: {', '.join(classes)}")


def goal_settings(goal: Goal, head_only: bool, validation: int) -> list[Setting]:
    """What the goal changes in section ``train``.

    Class weights help a network that is trained as a whole (docs/training.md). Where only the head is
    trained they did not: on ten splits of 800 pictures in 17 classes of 3 to 247 images the macro F1 of the
    validation images after the last epoch was 0.587 without, 0.585 and 0.579 with weak weights.

    Args:
        head_only: whether the rest of the network keeps its weights.
        validation: images that decide which epoch is kept.
    """
    if goal.of_class is not None:
        return [
            Setting("train.class_weights", {goal.of_class: WEIGHT}, "the others have 1"),
            Setting(
                "train.monitor",
                f"val/f1/{goal.of_class}",
                "recall alone is perfect if every image gets this class",
            ),
        ]
    if goal.name == "balanced" and not head_only:
        return [
            Setting("train.class_weights", "effective_number", "images of small classes count more"),
            Setting("train.monitor", "val/f1_macro", "every class counts alike in it"),
        ]
    if validation < STEADY:
        return [
            Setting(
                "train.monitor", "val/loss", f"{validation:,} images: other metrics jump from epoch to epoch"
            )
        ]
    return (
        [Setting("train.monitor", "val/f1_macro", "every class counts alike")]
        if goal.name == "balanced"
        else []
    )


def describe_goal(goal: Goal, head_only: bool, validation: int) -> str:
    """What is done for the goal, in a sentence; "" if nothing special is."""
    if goal.of_class is not None:
        return (
            f"For the recall of {goal.of_class}, its images count {WEIGHT:g} times in the loss, and the "
            "epoch with its best F1 is kept: recall alone would be perfect if every image got this class."
        )
    if goal.name == "balanced" and not head_only:
        return (
            "For a balanced result, images of small classes count more in the loss, and the epoch with the "
            "best validation macro F1 is kept."
        )
    if validation < STEADY:
        return (
            f"The epoch with the lowest validation loss is kept: with {validation:,} validation images other "
            "metrics depend on single images."
        )
    return "The epoch with the best validation macro F1 is kept." if goal.name == "balanced" else ""
