"""What a goal changes, and what cannot be one."""

import pytest

from src.core.errors import AssayError
from src.proposal.goals import Goal, goal_settings, parse_goal, refuse_unknown_class


def test_a_goal_is_a_word_or_the_recall_of_a_class():
    assert parse_goal("balanced") == Goal("balanced")
    assert parse_goal("recall:ill") == Goal("recall", "ill")


@pytest.mark.parametrize("text", ["recall", "recall:", "balance", ""])
def test_others_are_refused_with_the_known_ones(text):
    with pytest.raises(AssayError, match="must be one of accuracy, balanced, size, speed, recall:CLASS"):
        parse_goal(text)


def settings(goal: Goal, head_only: bool, validation: int) -> dict[str, object]:
    return {each.key: each.value for each in goal_settings(goal, head_only, validation)}


def test_balanced_weighs_and_monitors_every_class_alike_and_accuracy_changes_nothing():
    balanced = settings(Goal("balanced"), head_only=False, validation=120)
    assert balanced == {"train.class_weights": "effective_number", "train.monitor": "val/f1_macro"}
    assert settings(Goal("accuracy"), head_only=False, validation=5000) == {}


def test_a_head_alone_has_no_weights():
    assert settings(Goal("balanced"), head_only=True, validation=5000) == {"train.monitor": "val/f1_macro"}


@pytest.mark.parametrize("goal", ["accuracy", "balanced", "size", "speed"])
def test_few_validation_images_choose_the_epoch_by_loss(goal):
    assert settings(Goal(goal), head_only=True, validation=120) == {"train.monitor": "val/loss"}


def test_recall_weighs_its_class_and_is_not_monitored_alone():
    found = settings(Goal("recall", "ill"), head_only=True, validation=120)
    assert found == {"train.class_weights": {"ill": 3.0}, "train.monitor": "val/f1/ill"}


def test_a_class_that_is_unknown_or_never_tested_has_no_recall():
    refuse_unknown_class(Goal("recall", "ill"), ["ill", "well"], tested=["ill", "well"])
    with pytest.raises(AssayError, match="too few different images to be held out"):
        refuse_unknown_class(Goal("recall", "ill"), ["ill", "well"], tested=["well"])
    with pytest.raises(
        AssayError, match=r"no class is called so \(did you mean healthy\?\). The classes: ill, healthy"
    ):
        refuse_unknown_class(Goal("recall", "healty"), ["ill", "healthy"], tested=["ill", "healthy"])
