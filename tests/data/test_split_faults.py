"""Data that cannot be divided as asked: every fault is named at once, with the class and the way out."""

from dataclasses import replace

import numpy as np
import pytest

from src.core.errors import AssayError
from src.data.dataset.index import DatasetIndex
from src.data.splitting.assignment.folds import fold_rows
from src.data.splitting.assignment.rule import SplitRule
from src.data.splitting.assignment.stable import place_units, unit_names
from src.data.splitting.splits import Division, divide
from tests.data.test_splits import rows_of


def draw(rows: DatasetIndex, rule: SplitRule, folds: int = 2, val: float = 0.15) -> Division:
    return divide(rows, rule, val=val, test=0.2, folds=folds, seed=0)


def refusal(rows: DatasetIndex, rule: SplitRule, **changes: float) -> str:
    with pytest.raises(AssayError) as caught:
        draw(rows, rule, **changes)  # type: ignore[arg-type]
    return str(caught.value)


def test_a_share_that_takes_less_than_half_an_image_is_refused_with_the_images_needed() -> None:
    message = refusal(rows_of([60, 3, 4]), SplitRule())
    assert "class 'class 1' has 3 images, too few for split.val=0.15: it needs about 4" in message
    assert "split.test" not in message and "'class 2'" not in message and "'class 0'" not in message


def test_shares_that_leave_nothing_for_training_are_refused() -> None:
    message = refusal(rows_of([60, 2]), SplitRule(), val=0.4, folds=1)
    assert "class 'class 1' has 2 images" in message
    two = refusal(rows_of([60, 2]), SplitRule(), val=0.8, folds=1)
    assert "class 'class 0' has 60 images to draw from, of which test and val take 60, so none is left" in two


def test_rare_classes_train_only_or_are_dropped() -> None:
    rows = rows_of([60, 60, 3, 1])
    trained = draw(rows, SplitRule(rare="train"))
    assert (trained.only_trained, trained.dropped) == ([2, 3], [])
    assert rows.counts(trained.splits == "train")[2:].tolist() == [3, 1]
    dropped = draw(rows, SplitRule(rare="drop"))
    assert (dropped.only_trained, dropped.dropped) == ([], [2, 3])
    assert set(dropped.splits[rows.targets >= 2].tolist()) == {"dropped"}


def test_one_class_alone_is_no_classification() -> None:
    assert "(class 1), fewer than two are left" in refusal(rows_of([60, 1]), SplitRule(rare="drop"))
    assert draw(rows_of([60, 60, 1]), SplitRule(rare="drop")).dropped == [2]


@pytest.mark.parametrize("named", ["group_names", "subjects"])
def test_too_few_groups_are_counted_as_what_they_are(named: str) -> None:
    rows = rows_of([30, 30])
    groups = replace(rows, **{named: [f"one of {row % 4}" for row in range(60)]})
    message = refusal(groups, SplitRule(), folds=5)
    assert "There are 3 independent groups, but split.folds=5 needs at least 5" in message  # one is for test
    assert "class 'class 0' has 3 independent groups, too few for split.folds=5: it needs about 5" in message
    assert "but the splits need" not in message
    plain = refusal(rows_of([3, 60]), SplitRule(), folds=3, val=0.2)
    assert "class 'class 0' has 3 different images, too few for split.folds=3: it needs about 4" in plain


def test_folds_refuse_a_class_unless_rare_classes_are_tolerated() -> None:
    rows, splits = rows_of([60, 2]), np.array(["train"] * 62)
    with pytest.raises(
        AssayError, match=r"'class 1' has 2 different images, too few for split\.folds=3: it needs about 3"
    ):
        fold_rows(rows, splits, 3, 0, SplitRule())
    numbers = fold_rows(rows, splits, 3, 0, SplitRule(rare="train"))
    assert len(np.unique(numbers[rows.targets == 1])) == 2


def test_no_image_is_left_for_folds() -> None:
    with pytest.raises(AssayError, match=r"no image is left for split\.folds=3"):
        fold_rows(rows_of([5, 5]), np.array(["test"] * 10), 3, 0, SplitRule())


def test_stable_folds_name_the_class_that_is_only_in_one() -> None:
    rows, rule = rows_of([40, 1]), SplitRule("stable")
    splits = np.array(["train"] * 41)
    (lone,) = np.flatnonzero(rows.targets == 1)
    fold = place_units([unit_names(rows)[lone]], [0.5], 0, "folds")[0]
    with pytest.raises(AssayError) as caught:
        fold_rows(rows, splits, 2, 0, rule)
    assert f"class 'class 1' is only in fold {fold}, so the training for that fold would not have it" in str(
        caught.value
    )
    assert "'class 0'" not in str(caught.value) and "is empty" not in str(caught.value)


@pytest.mark.parametrize("folds", [9, 20])
def test_stable_folds_without_an_image_are_named(folds: int) -> None:
    rows = rows_of([2, 2])
    used = set(place_units(unit_names(rows), [1 / folds] * (folds - 1), 0, "folds").tolist())
    with pytest.raises(AssayError) as caught:
        fold_rows(rows, np.array(["train"] * 4), folds, 0, SplitRule("stable", "train"))
    for fold in range(folds):
        text = f"fold {fold} of split.folds={folds} is empty"
        assert (text in str(caught.value)) == (fold not in used)


def test_exactly_as_many_groups_as_folds_are_enough() -> None:
    rows = replace(rows_of([3, 3]), targets=np.array([0, 0, 0, 1, 1, 1]))
    each = fold_rows(rows, np.array(["train"] * 6), 3, 0, SplitRule())
    assert sorted(each[:3].tolist()) == sorted(each[3:].tolist()) == [0, 1, 2]
    grouped = replace(rows, group_names=[f"group {row % 3}" for row in range(6)])
    folds = fold_rows(grouped, np.array(["train"] * 6), 3, 0, SplitRule())
    assert sorted(folds[:3].tolist()) == [0, 1, 2] and folds[:3].tolist() == folds[3:].tolist()
