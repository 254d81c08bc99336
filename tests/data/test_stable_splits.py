"""Stable splits: whatever is added, renamed or reordered, no image changes sides, and nothing is on two."""

import hashlib
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from src.core.errors import AssayError
from src.core.seeds import derive_seed
from src.data.dataset.index import DatasetIndex
from src.data.splitting.assignment.conflicts import leave_out
from src.data.splitting.assignment.folds import fold_rows, hold_out
from src.data.splitting.assignment.rule import SplitRule
from src.data.splitting.assignment.stable import place_units, unit_names
from src.data.splitting.splits import SPLITS, Division, divide, without_copies
from src.search.engine.trial_tasks import make_folds

SEEDS = st.integers(0, 2**32 - 1)
SHARES = {"val": 0.2, "test": 0.25, "folds": 2}


@dataclass(frozen=True)
class Picture:
    """One image. Two are near copies if their ``look`` differs by at most 1, and equal at 0."""

    number: int  # of its file
    look: int
    label: int
    subject: str | None = None
    group: str | None = None


def index_of(pictures: list[Picture], classes: tuple[str, ...] = ("a", "b")) -> DatasetIndex:
    return DatasetIndex(
        classes=list(classes),
        ids=np.arange(len(pictures)),
        sources=[f"{classes[picture.label]}/{row}.png" for row, picture in enumerate(pictures)],
        targets=np.array([picture.label for picture in pictures]),
        digests=np.array([_sha256(f"pixels {picture.look}") for picture in pictures]),
        given_splits=[None] * len(pictures),
        group_names=[picture.group for picture in pictures],
        subjects=[picture.subject for picture in pictures],
        originals=[_sha256(f"file {picture.number}") for picture in pictures],
    )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def rule_of(pictures: list[Picture], method: str = "stable") -> SplitRule:
    looks = np.array([picture.look for picture in pictures])
    near = np.argwhere(np.abs(looks[:, None] - looks[None, :]) <= 1)
    return SplitRule(method, "train", near[near[:, 0] < near[:, 1]])  # type: ignore[arg-type]


def divided(
    pictures: list[Picture], seed: int, method: str = "stable", classes: tuple[str, ...] = ("a", "b")
) -> Division:
    try:
        return divide(index_of(pictures, classes), rule_of(pictures, method), **SHARES, seed=seed)
    except AssayError:  # nearly all are near copies of each other, so a class or a fold is left with nothing
        reject()


def sides(pictures: list[Picture], division: Division) -> dict[int, tuple[str, int]]:
    """{number of the file: split and fold} of those that are in a split."""
    found = zip(pictures, division.splits.tolist(), division.folds.tolist(), strict=True)
    return {picture.number: (split, fold) for picture, split, fold in found if split != "dropped"}


def moved(before: dict[int, tuple[str, int]], after: dict[int, tuple[str, int]]) -> int:
    """Images in another split or fold than before; what is left out is in none."""
    common = [(before[number], after[number]) for number in before.keys() & after.keys()]
    return sum(old[0] != new[0] or (old[1] != new[1] and old[1] >= 0 and new[1] >= 0) for old, new in common)


@st.composite
def collections(draw: st.DrawFn) -> list[Picture]:
    """Alone, in groups, of subjects; equal and near copies of each other, in chains too."""
    generator = np.random.default_rng(draw(SEEDS))
    count = draw(st.integers(80, 140))
    spread = draw(st.sampled_from([count, 4 * count, 100 * count]))  # dense, mixed, hardly any copies
    kinds = generator.integers(0, 6, count)
    subjects = [f"subject {generator.integers(0, 20)}" if kind == 0 else None for kind in kinds]
    groups = [f"group {generator.integers(0, 20)}" if kind in (1, 2) else None for kind in kinds]
    looks, labels = generator.integers(0, spread, count).tolist(), generator.integers(0, 2, count).tolist()
    columns = zip(range(count), looks, labels, subjects, groups, strict=True)
    return [Picture(*values) for values in columns]


@settings(max_examples=80, deadline=None)
@given(collections(), SEEDS, SEEDS)
def test_adding_renaming_and_reordering_moves_nothing(pictures: list[Picture], seed: int, order: int) -> None:
    generator = np.random.default_rng(order)
    fewer = [picture for picture in pictures if generator.random() < 0.7]
    before = divided(fewer, seed)
    shuffled = [pictures[row] for row in generator.permutation(len(pictures))]
    renamed = [replace(picture, label=1 - picture.label) for picture in shuffled]
    after = divided(renamed, seed, classes=("z", "b"))
    assert moved(sides(fewer, before), sides(renamed, after)) == 0


@settings(max_examples=80, deadline=None)
@given(collections(), SEEDS)
def test_an_image_is_where_it_would_be_alone_or_left_out(pictures: list[Picture], seed: int) -> None:
    """The reason why nothing can move."""
    division = divided(pictures, seed)
    alone = place_units(unit_names(index_of(pictures)), [0.25, 0.2], seed, "split")
    for split, own in zip(division.splits.tolist(), alone.tolist(), strict=True):
        assert split in (("test", "val", "train")[own], "dropped")


@settings(max_examples=60, deadline=None)
@given(collections(), SEEDS)
def test_nothing_that_belongs_together_is_on_two_sides(pictures: list[Picture], seed: int) -> None:
    rows, rule, division = index_of(pictures), rule_of(pictures), divided(pictures, seed)
    pool = np.flatnonzero(np.isin(division.splits, ("train", "val")))
    half = np.full(len(rows), "", dtype="<U5")
    with suppress(AssayError):  # so many near copies that nothing is left to hold out
        train, held = hold_out(rows, pool, 0.3, seed, rule)
        half[train], half[held] = "train", "held"
    repeat = fold_rows(rows, division.splits, 2, derive_seed(seed, "repeat", 1), rule)
    for places in (
        [split if split != "dropped" else None for split in division.splits.tolist()],
        [fold if fold >= 0 else None for fold in division.folds.tolist()],
        [fold if fold >= 0 else None for fold in repeat.tolist()],
        [side or None for side in half.tolist()],
    ):
        assert_on_one_side(pictures, places)


def assert_on_one_side(pictures: list[Picture], places: list[object]) -> None:
    placed = [(one, place) for one, place in zip(pictures, places, strict=True) if place is not None]
    for row, (one, place) in enumerate(placed):
        for other, where in placed[:row]:
            together = (
                abs(one.look - other.look) <= 1
                or (one.subject is not None and one.subject == other.subject)
                or (one.group is not None and one.group == other.group)
            )
            assert not together or place == where, (one, other)


@settings(max_examples=60, deadline=None)
@given(collections(), SEEDS)
def test_no_more_is_left_out_than_has_to_be(pictures: list[Picture], seed: int) -> None:
    division = divided(pictures, seed)
    places = [split if split != "dropped" else None for split in division.splits.tolist()]
    classes = {pictures[left.dropped].label for left in division.left_out}
    for left in division.left_out:
        if classes & set(division.dropped):
            return
        assert places[left.kept] is not None
        assert places[left.kept] != SPLITS[left.place or 0]


@settings(max_examples=30, deadline=None)
@given(collections(), SEEDS)
def test_an_image_like_no_other_changes_nothing_at_all(pictures: list[Picture], seed: int) -> None:
    new = Picture(1000, 10**9, 0)
    before, after = divided(pictures, seed), divided([new, *pictures], seed)
    assert after.splits[1:].tolist() == before.splits.tolist()
    assert after.folds[1:].tolist() == before.folds.tolist()


def test_a_copy_changes_on_average_the_fate_of_at_most_one_image() -> None:
    """The worst that growth does to a split."""
    generator, changed = np.random.default_rng(0), []
    for seed in range(150):
        pictures = [Picture(number, int(generator.integers(0, 400)), number % 2) for number in range(100)]
        new = replace(pictures[int(generator.integers(0, 100))], number=1000)
        before, after = divided(pictures, seed).splits, divided([*pictures, new], seed).splits[:-1]
        changed.append(int((before != after).sum()))
    assert max(changed) > 0
    assert np.mean(changed) <= 1


def test_a_split_that_is_drawn_moves_many() -> None:
    """The check above must fail for a method that breaks the promise."""
    pictures = [Picture(number, 10 * number, number % 2) for number in range(300)]
    for method, expected in (("stratified", range(100, 301)), ("stable", [0])):
        before = sides(pictures, divided(pictures, 0, method))
        more = [Picture(1000, 10**6, 0), *pictures]
        assert moved(before, sides(more, divided(more, 0, method))) in expected, method


def test_shares_hold_on_average() -> None:
    units = [f"file {number}" for number in range(40_000)]
    splits = place_units(units, [0.2, 0.15], 7, "split")
    folds = place_units(units, [0.2] * 4, 7, "folds")
    for part, share in enumerate((0.2, 0.15, 0.65)):
        spread = (share * (1 - share) / len(units)) ** 0.5
        assert abs((splits == part).mean() - share) < 4 * spread
        counts = np.bincount(folds[splits == part], minlength=5)
        assert counts.min() > 0.9 * counts.mean(), "folds are drawn apart from splits"
    assert (splits != place_units(units, [0.2, 0.15], 8, "split")).mean() > 0.4


def test_a_share_that_changes_moves_no_more_than_it_must() -> None:
    units = [f"file {number}" for number in range(5000)]
    before, after = (place_units(units, [0.2, val], 0, "split") for val in (0.15, 0.1))
    assert np.array_equal(before == 0, after == 0), "split.val moves no test image"
    assert set(zip(before[before != after].tolist(), after[before != after].tolist(), strict=True)) == {
        (1, 2)
    }


def test_the_folds_of_a_search_and_of_repeats_survive_growth() -> None:
    pictures = [Picture(number, 10 * number, number % 2) for number in range(300)]
    more = [*(Picture(1000 + number, 10**6 + 10 * number, 0) for number in range(50)), *pictures]
    found = []
    for some in (pictures, more):
        rows, division = index_of(some), divided(some, 0)
        parts = make_folds(rows, division.splits, 3, derive_seed(0, "sweep"), rule_of(some))
        numbers = np.array([picture.number for picture in some])
        found.append([set(numbers[rows].tolist()) for part in parts for rows in part])
    for before, after in zip(*found, strict=True):
        assert before == {number for number in after if number < 1000}


def test_a_held_out_part_survives_growth_and_has_its_share() -> None:
    pictures = [Picture(number, 10 * number, number % 2) for number in range(2000)]
    more = [*(Picture(5000 + number, 10**6 + 10 * number, 0) for number in range(50)), *pictures]
    _, before = hold_out(index_of(pictures), np.arange(2000), 0.15, 3, rule_of(pictures))
    _, after = hold_out(index_of(more), np.arange(50, 2050), 0.15, 3, rule_of(more))
    assert (after - 50).tolist() == before.tolist()
    assert len(before) / 2000 == pytest.approx(0.15, abs=0.03)


def test_a_class_whose_images_all_would_be_held_out_trains() -> None:
    pictures = [Picture(number, 10 * number, 0) for number in range(50)]
    rare = next(
        Picture(number, 10 * number, 1)
        for number in range(1000, 2000)
        if place_units([f"file {_sha256(f'file {number}')}"], [0.3], 0, "hold out")[0] == 0
    )
    train, held = hold_out(index_of([*pictures, rare]), np.arange(51), 0.3, 0, rule_of([*pictures, rare]))
    assert 50 in train and 50 not in held


def split_of(rows: DatasetIndex, near: NDArray[np.int64], seed: int, rare: str = "train") -> Division:
    return divide(rows, SplitRule("stable", rare, near), **SHARES, seed=seed)  # type: ignore[arg-type]


def test_an_image_that_would_join_two_splits_is_left_out() -> None:
    many = [Picture(number, 100 * number, number % 2) for number in range(200)]
    rows, none = index_of(many), np.zeros((0, 2), dtype=np.int64)
    before = split_of(rows, none, 0).splits
    test, train = np.flatnonzero(before == "test")[0], np.flatnonzero(before == "train")[0]
    for number in range(1000, 1040):
        bridged = index_of([*many, Picture(number, 10**6, 0)])
        after = split_of(bridged, np.array([[test, 200], [train, 200]]), 0)
        assert np.array_equal(after.splits[:200], before)
        (left,) = after.left_out
        assert left.dropped == 200 and left.kept in (test, train)


def test_given_splits_stay_and_their_near_copies_are_left_out() -> None:
    pictures = [Picture(number, 10 * number, number % 2) for number in range(120)]
    rows = replace(index_of(pictures), given_splits=["test"] * 40 + ["train"] * 80)
    near = np.array([[3, 50], [4, 5], [60, 61]])
    division = split_of(rows, near, 0)
    assert division.splits[:40].tolist() == ["test"] * 40
    assert [(left.dropped, left.kept) for left in division.left_out][:1] == [(50, 3)]
    share = (division.splits[40:] == "val").mean()
    assert share == pytest.approx(0.2, abs=0.12), "a share of the images that it is drawn from"


def test_subject_and_group_of_two_given_splits_are_refused_together() -> None:
    pictures = [Picture(number, 10 * number, number % 2, "Ada", f"g{number % 2}") for number in range(20)]
    rows = replace(index_of(pictures), given_splits=["test"] * 10 + ["train"] * 10)
    with pytest.raises(AssayError) as caught:
        split_of(rows, np.zeros((0, 2), dtype=np.int64), 0)
    for name in ("Group 'g0'", "Group 'g1'", "Subject 'Ada'"):
        assert f"{name} is in the given splits train and test" in str(caught.value)


def test_one_of_each_set_of_copies_is_kept() -> None:
    pictures = [Picture(number, look, 0) for number, look in enumerate([5, 5, 6, 20, 30, 31, 32])]
    rows, near = index_of(pictures), rule_of(pictures).near
    left = {row.dropped for row in without_copies(rows, near)}
    kept = [picture.look for row, picture in enumerate(pictures) if row not in left]
    assert len([look for look in kept if look < 10]) == 1
    assert 20 in kept
    assert sorted(look for look in kept if look >= 30) in ([30, 32], [31])


def test_the_first_in_order_stays() -> None:
    places = np.array([0, 1, 1, 0, -1])
    names: dict[str, list[str | None]] = {"name": ["x", "x", None, None, "x"]}
    near = np.array([[2, 3]])
    found = {
        (left.dropped, left.kept, left.because) for left in leave_out(places, [1, 0, 3, 2, 4], names, near)
    }
    assert found == {(0, 1, "name"), (2, 3, "near copies")}


def test_a_unit_is_the_subject_or_else_the_group_or_else_the_file() -> None:
    pictures = [
        Picture(0, 0, 0, "Ada", "g"),
        Picture(1, 10, 0, "Ada"),
        Picture(2, 20, 0, None, "g"),
        Picture(3, 30, 0),
    ]
    names = unit_names(index_of(pictures))
    assert names == ["subject Ada", "subject Ada", "group g", f"file {_sha256('file 3')}"]


def test_the_images_of_a_subject_are_in_one_split_and_none_is_left_out() -> None:
    pictures = [Picture(number, 10 * number, number % 2, f"subject {number // 4}") for number in range(400)]
    division = divided(pictures, 0)
    assert division.left_out == []
    assert all(len(set(division.splits[row : row + 4].tolist())) == 1 for row in range(0, 400, 4))


def test_a_place_is_the_same_on_every_machine_and_in_every_version() -> None:
    """The first 53 bits of SHA-256 of "seed/purpose/unit", as a share of 2**53."""
    units = [f"file {number}" for number in range(200)]
    for unit, part in zip(units, place_units(units, [0.2, 0.3], 5, "split").tolist(), strict=True):
        digest = hashlib.sha256(f"5/split/{unit}".encode()).hexdigest()
        position = int(digest[:14], 16) / 16**14  # 56 bits: the last three do not matter here
        assert part == (0 if position < 0.2 else 1 if position < 0.5 else 2)
