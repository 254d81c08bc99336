"""Splits and folds: what holds for every data set, and the rules of given splits."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from src.core.errors import AssayError
from src.data.dataset.index import DatasetIndex
from src.data.splitting.assignment.allocation import round_columns, stratified_group_allocation
from src.data.splitting.assignment.conflicts import LeftOut
from src.data.splitting.assignment.folds import fold_rows, hold_out
from src.data.splitting.assignment.rule import SplitRule
from src.data.splitting.splits import SPLITS, divide
from tests.data.test_stable_splits import Picture, index_of

SEEDS = st.integers(0, 2**32 - 1)
CLASS_SIZES = st.lists(st.integers(10, 90), min_size=2, max_size=6)


def rows_of(
    sizes: list[int],
    groups: list[str | None] | None = None,
    given_splits: list[str | None] | None = None,
    pixels: list[int] | None = None,
) -> DatasetIndex:
    """Rows of classes of these sizes, the classes mixed; equal ``pixels`` are equal images."""
    count = sum(sizes)
    targets = np.random.default_rng(1).permutation(np.repeat(np.arange(len(sizes)), sizes))
    names = pixels if pixels is not None else list(range(count))
    return DatasetIndex(
        classes=[f"class {number}" for number in range(len(sizes))],
        ids=np.arange(count),
        sources=[f"{row}.png" for row in range(count)],
        targets=targets,
        digests=np.array([hashlib.sha256(str(name).encode()).hexdigest() for name in names]),
        given_splits=given_splits or [None] * count,
        group_names=groups or [None] * count,
        subjects=[None] * count,
        originals=[hashlib.sha256(f"file {row}".encode()).hexdigest() for row in range(count)],
    )


def split_rows(
    rows: DatasetIndex, val: float, test: float, seed: int
) -> tuple[NDArray[np.str_], list[LeftOut]]:
    """The splits, (N,), and the rows that were left out."""
    division = divide(rows, SplitRule(), val=val, test=test, folds=2, seed=seed)
    return division.splits, division.left_out


def folds_of(rows: DatasetIndex, splits: NDArray[np.str_], folds: int, seed: int) -> NDArray[np.int64]:
    return fold_rows(rows, splits, folds, seed, SplitRule())


def holdout_mask(rows: DatasetIndex, pool: NDArray[np.int64], share: float, seed: int) -> NDArray[np.bool_]:
    """Which rows of the pool are held out, (n,); the others train."""
    train, held = hold_out(rows, pool, share, seed, SplitRule())
    assert sorted([*train, *held]) == sorted(pool)
    return np.isin(pool, held)


@st.composite
def grouped_rows(draw: st.DrawFn) -> DatasetIndex:
    """Many small groups, some rows without a group, some equal images within and between groups."""
    sizes = draw(st.lists(st.integers(40, 90), min_size=2, max_size=4))
    count = sum(sizes)
    generator = np.random.default_rng(draw(SEEDS))
    numbers = generator.integers(0, count // 2, count).tolist()
    groups = [None if number % 5 == 0 else f"group {number}" for number in numbers]
    pixels = np.where(generator.random(count) < 0.03, generator.integers(0, count, count), np.arange(count))
    return rows_of(sizes, groups, pixels=pixels.tolist())


@settings(max_examples=60, deadline=None)
@given(CLASS_SIZES, st.floats(0.06, 0.4), st.floats(0.06, 0.4), SEEDS)
def test_each_class_has_its_share_within_one_image(
    sizes: list[int], val: float, test: float, seed: int
) -> None:
    rows = rows_of(sizes)
    splits, copies = split_rows(rows, val, test, seed)
    assert set(splits.tolist()) == {"train", "val", "test"}
    assert copies == []
    for target, size in enumerate(sizes):
        of_class = splits[rows.targets == target].tolist()
        assert abs(of_class.count("test") - test * size) < 1
        assert abs(of_class.count("val") - val * size) < 1
        assert of_class.count("train") >= 1
    assert abs(splits.tolist().count("test") - test * sum(sizes)) < 2


@settings(max_examples=60, deadline=None)
@given(CLASS_SIZES, st.integers(2, 6), SEEDS)
def test_folds_divide_train_and_val_and_nothing_else(sizes: list[int], folds: int, seed: int) -> None:
    rows = rows_of(sizes)
    splits, _ = split_rows(rows, 0.15, 0.2, seed)
    numbers = folds_of(rows, splits, folds, seed)
    assert np.array_equal(numbers == -1, splits == "test")
    assert set(numbers[splits != "test"].tolist()) == set(range(folds))
    for target in range(len(sizes)):
        of_class = numbers[(rows.targets == target) & (numbers >= 0)]
        counts = np.bincount(of_class, minlength=folds)
        assert counts.max() - counts.min() <= 1
    totals = np.bincount(numbers[numbers >= 0], minlength=folds)
    assert totals.max() - totals.min() <= 2


@settings(max_examples=60, deadline=None)
@given(grouped_rows(), SEEDS)
def test_groups_and_equal_images_are_never_divided(rows: DatasetIndex, seed: int) -> None:
    splits, copies = split_rows(rows, 0.15, 0.2, seed)
    folds = folds_of(rows, splits, 4, seed)
    assert copies == []  # equal images move together, so none has to go
    for keys in (rows.group_names, rows.digests.tolist()):
        places: dict[str, set[tuple[str, bool]]] = {}
        homes: dict[str, set[int]] = {}
        for key, split, fold in zip(keys, splits.tolist(), folds.tolist(), strict=True):
            if key is not None:
                places.setdefault(key, set()).add(split)
                homes.setdefault(key, set()).add(fold)
        assert all(len(found) == 1 for found in places.values())
        assert all(len(found) == 1 for found in homes.values())
    for name, share in (("test", 0.2), ("val", 0.15)):
        wanted = share * rows.counts(np.ones(len(rows), dtype=bool))
        assert np.abs(rows.counts(splits == name) - wanted).max() <= 4


@settings(max_examples=30, deadline=None)
@given(grouped_rows(), SEEDS)
def test_the_seed_and_nothing_else_decides(rows: DatasetIndex, seed: int) -> None:
    first, again = (split_rows(rows, 0.15, 0.2, seed)[0] for _ in range(2))
    np.random.default_rng(7).random(100)
    assert np.array_equal(first, again)
    assert np.array_equal(folds_of(rows, first, 4, seed), folds_of(rows, again, 4, seed))


def test_zero_is_a_seed_like_any_other() -> None:
    rows = rows_of([60, 60])
    drawn = [split_rows(rows, 0.15, 0.2, seed)[0].tolist() for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]


def test_folds_are_drawn_apart_from_splits() -> None:
    """With as many folds as splits, equal draws would put all of val into one fold."""
    rows = rows_of([300, 300])
    splits, _ = split_rows(rows, 0.2, 0.2, 0)
    folds = folds_of(rows, splits, 4, 0)
    assert np.bincount(folds[splits == "val"], minlength=4).min() > 10


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(30, 90), min_size=2, max_size=4), SEEDS)
def test_an_official_test_split_is_kept_and_val_comes_from_train(sizes: list[int], seed: int) -> None:
    count = sum(sizes)
    given_splits = ["test" if row % 4 == 0 else "train" for row in range(count)]
    rows = rows_of(sizes, given_splits=given_splits)
    splits, copies = split_rows(rows, 0.1, 0.2, seed)
    assert [split == "test" for split in splits.tolist()] == [name == "test" for name in given_splits]
    assert copies == []
    wanted = 0.1 * np.array(sizes)  # of all images, including the given test split
    assert np.abs(rows.counts(splits == "val") - wanted).max() < 1


def test_an_official_val_split_is_kept_and_test_is_drawn() -> None:
    given_splits = ["val" if row % 5 == 0 else None for row in range(200)]
    rows = rows_of([100, 100], given_splits=given_splits)
    splits, _ = split_rows(rows, 0.4, 0.25, 0)
    assert np.array_equal(np.flatnonzero(splits == "val"), np.arange(0, 200, 5))
    assert rows.counts(splits == "test").tolist() == [25, 25]


def test_three_official_splits_are_taken_as_they_are() -> None:
    given_splits = [("train", "val", "test")[row % 3] for row in range(90)]
    splits, _ = split_rows(rows_of([45, 45], given_splits=given_splits), 0.15, 0.2, 0)
    assert splits.tolist() == given_splits


def test_an_official_test_split_may_lack_a_class() -> None:
    rows = rows_of([40, 40])
    given_splits = ["test" if target == 0 and row % 2 else "train" for row, target in enumerate(rows.targets)]
    splits, _ = split_rows(rows_of([40, 40], given_splits=given_splits), 0.2, 0.2, 0)
    assert rows.counts(splits == "test")[1] == 0
    assert rows.counts(splits == "val").tolist() == [8, 8]


def test_the_most_held_out_of_equal_images_stays() -> None:
    given_splits = ["train"] * 40 + ["val"] * 20 + ["test"] * 20
    pixels = list(range(80))
    pixels[0] = pixels[40] = pixels[60] = 1000  # in all three
    pixels[1] = pixels[41] = 1001  # in train and val
    pixels[2] = pixels[3] = 1002  # twice in train
    rows = rows_of([40, 40], given_splits=given_splits, pixels=pixels)
    splits, copies = split_rows(rows, 0.1, 0.1, 0)
    folds = folds_of(rows, splits, 3, 0)
    assert [(SPLITS[copy.place], copy.dropped, copy.kept) for copy in copies] == [
        ("train", 0, 60),
        ("train", 1, 41),
        ("val", 40, 60),
    ]
    assert splits[[0, 1, 40]].tolist() == ["dropped"] * 3
    assert folds[[0, 1, 40]].tolist() == [-1] * 3
    assert splits[[2, 3, 41, 60]].tolist() == ["train", "train", "val", "test"]
    assert folds[2] == folds[3]


def test_val_is_drawn_from_what_copies_leave() -> None:
    """Rows that go because the test split has them must not count as train or val."""
    given_splits = ["test"] * 20 + ["train"] * 80
    pixels = [*range(20), *range(20), *range(20, 80)]  # the first 20 of train are copies of test
    splits, copies = split_rows(rows_of([50, 50], given_splits=given_splits, pixels=pixels), 0.1, 0.2, 3)
    assert len(copies) == 20
    assert splits[20:40].tolist() == ["dropped"] * 20
    assert splits.tolist().count("val") == pytest.approx(0.1 * 80, abs=2)


def test_a_group_in_two_given_splits_is_refused() -> None:
    given_splits = ["train"] * 50 + ["test"] * 50
    groups: list[str | None] = [None] * 100
    groups[3] = groups[77] = "patient 9"
    with pytest.raises(AssayError, match=r"'patient 9' is in the given splits train and test"):
        split_rows(rows_of([50, 50], groups, given_splits), 0.1, 0.1, 0)


def test_few_large_groups_still_fill_every_split_and_fold() -> None:
    groups: list[str | None] = [f"patient {row % 6}" for row in range(120)]
    rows = rows_of([60, 60], groups)
    splits, _ = split_rows(rows, 0.15, 0.2, 0)
    assert set(splits.tolist()) == {"train", "val", "test"}
    assert set(folds_of(rows, splits, 3, 0).tolist()) == {-1, 0, 1, 2}


@settings(max_examples=100, deadline=None)
@given(st.integers(2, 6), st.lists(st.integers(1, 200), min_size=1, max_size=12), SEEDS)
def test_rounding_keeps_the_sums_of_classes(parts: int, sizes: list[int], seed: int) -> None:
    shares = np.random.default_rng(seed).dirichlet(np.ones(parts))
    wanted = np.outer(shares, sizes)
    numbers = round_columns(wanted)
    assert np.array_equal(numbers.sum(axis=0), sizes)
    assert np.abs(numbers - wanted).max() < 1
    assert np.abs(numbers.sum(axis=1) - wanted.sum(axis=1)).max() < 2


@settings(max_examples=60, deadline=None)
@given(CLASS_SIZES, st.floats(0.06, 0.5), SEEDS)
def test_a_held_out_part_has_its_share_of_each_class_and_of_the_pool_only(
    sizes: list[int], share: float, seed: int
) -> None:
    rows = rows_of(sizes)
    pool = np.flatnonzero(np.random.default_rng(seed).random(len(rows)) < 0.8)
    held = holdout_mask(rows, pool, share, seed)
    assert held.shape == pool.shape
    for target in range(len(sizes)):
        count = int((rows.targets[pool] == target).sum())
        taken = int((rows.targets[pool[held]] == target).sum())
        assert abs(taken - share * count) < 1 or (taken == 1 and share * count >= 0.5)
        assert taken < count or not count
    assert abs(held.sum() - share * len(pool)) < len(sizes)
    assert np.array_equal(held, holdout_mask(rows, pool, share, seed))


@settings(max_examples=40, deadline=None)
@given(grouped_rows(), SEEDS)
def test_a_held_out_part_divides_no_group_and_no_equal_images(rows: DatasetIndex, seed: int) -> None:
    pool = np.arange(len(rows))[::2]
    held = holdout_mask(rows, pool, 0.2, seed)
    for names in ([rows.group_names[row] for row in pool], rows.digests[pool].tolist()):
        sides: dict[str, set[bool]] = {}
        for name, side in zip(names, held.tolist(), strict=True):
            if name is not None:
                sides.setdefault(name, set()).add(side)
        assert all(len(side) == 1 for side in sides.values())
    assert set(rows.targets[pool[held]]) == set(rows.targets[pool[~held]]) == set(rows.targets)


def test_a_class_too_rare_to_be_held_out_stays_in_training() -> None:
    rows = rows_of([60, 1, 2])
    held = holdout_mask(rows, np.arange(63), 0.15, 0)
    assert rows.counts(held).tolist() == [9, 0, 0]
    assert rows.counts(holdout_mask(rows, np.arange(63), 0.3, 0)).tolist() == [18, 0, 1]


def test_many_rare_classes_share_the_held_out_part() -> None:
    rows = rows_of([3] * 100)
    held = holdout_mask(rows, np.arange(300), 0.15, 0)
    assert abs(held.sum() - 45) <= 1
    assert rows.counts(held).max() == 1
    assert not np.array_equal(held, holdout_mask(rows, np.arange(300), 0.15, 1))


@pytest.mark.parametrize("small", [4, 5, 7])
def test_a_class_with_a_share_of_half_an_image_is_held_out(small: int) -> None:
    """Rounding alone would take the image of every other small class."""
    sizes = [60, *[small] * 8]
    held = rows_of(sizes).counts(holdout_mask(rows_of(sizes), np.arange(sum(sizes)), 0.52 / small, 0))
    assert held[1:].tolist() == [1] * 8
    splits, _ = split_rows(rows_of(sizes), 0.52 / small, 0.52 / small, 0)
    for name in ("val", "test"):
        assert rows_of(sizes).counts(splits == name)[1:].tolist() == [1] * 8


@pytest.mark.parametrize(("size", "share"), [(2, 0.8), (2, 0.9), (3, 0.9)])
def test_a_large_share_leaves_an_image_of_each_class_for_training(size: int, share: float) -> None:
    rows = rows_of([size] * 6)
    assert rows.counts(holdout_mask(rows, np.arange(6 * size), share, 0)).tolist() == [size - 1] * 6


def part_sizes(groups: list[tuple[int, int]], shares: list[float], seed: int) -> list[list[int]]:
    """Rows of class 0 and 1 in each part, where ``groups`` have this many of them."""
    targets = np.concatenate([np.repeat([0, 1], size) for size in groups])
    names = np.repeat(np.arange(len(groups)), [sum(size) for size in groups])
    quotas = np.outer(shares, np.bincount(targets, minlength=2))
    parts = stratified_group_allocation(targets, names, quotas, seed)
    return [np.bincount(targets[parts == part], minlength=2).tolist() for part in range(len(shares))]


@pytest.mark.parametrize("seed", range(5))
def test_the_few_groups_of_a_scarce_class_go_to_one_part_each(seed: int) -> None:
    """Three of fifteen groups have class 1. By their size alone, one part would get none."""
    groups = [(20, 6), (8, 3), (4, 1), *[(6, 0)] * 12]
    scarce = [count for _, count in part_sizes(groups, [0.2, 0.15, 0.65], seed)]
    assert sorted(scarce) == [1, 3, 6]


@pytest.mark.parametrize("seed", range(5))
def test_large_groups_go_first_so_that_small_ones_fill_the_shares(seed: int) -> None:
    groups = [(3, 0), (5, 0), (4, 0), (6, 0)]
    assert part_sizes(groups, [0.5, 0.5], seed) == [[9, 0], [9, 0]]


@pytest.mark.parametrize("seed", range(5))
def test_a_class_with_enough_groups_is_allocated_by_its_shares(seed: int) -> None:
    """Groups of other classes that went before do not make it scarce."""
    groups = [(30, 0)] * 6 + [(30, 0), (0, 5), (0, 4), (0, 3), (0, 2)]
    assert [scarce for _, scarce in part_sizes(groups, [6 / 7, 1 / 7], seed)] == [12, 2]


def test_a_part_that_wants_no_row_of_a_class_gets_none() -> None:
    targets, groups = np.repeat([0, 1], [40, 6]), np.arange(46) // 2
    parts = stratified_group_allocation(targets, groups, np.array([[8.0, 0.0], [32.0, 6.0]]), 0)
    assert parts[targets == 1].tolist() == [1] * 6
    assert np.bincount(parts[targets == 0]).tolist() == [8, 32]


def test_an_allocation_is_the_same_on_every_machine_and_in_every_version() -> None:
    """Many groups of equal size, and single rows: what sorts them must be stable."""
    random = np.random.default_rng(0)
    targets = random.integers(0, 3, 600)
    groups = np.concatenate(
        [np.repeat(np.arange(100), 2), np.repeat(np.arange(100, 150), 4), np.arange(150, 350)]
    )
    quotas = np.outer([0.2, 0.15, 0.65], np.bincount(targets))
    parts = stratified_group_allocation(targets, groups, quotas, seed=7)
    assert hashlib.sha256(parts.astype("<i8").tobytes()).hexdigest()[:16] == "2179ca666b69c61b"


def test_a_single_group_cannot_be_divided() -> None:
    with pytest.raises(
        AssayError, match=r"20 images in 1 independent group cannot be divided with a share of 0\.15"
    ):
        holdout_mask(rows_of([10, 10], groups=["patient"] * 20), np.arange(20), 0.15, 0)


def test_a_class_that_is_too_small_is_named_once_with_a_number_that_is_enough() -> None:
    """Three shares, the number of splits and the folds would each ask for another number."""

    def divide_with(count: int) -> None:
        pictures = [Picture(number, 10 * number, int(number >= 40)) for number in range(40 + count)]
        divide(index_of(pictures), SplitRule("stratified", "refuse"), val=0.15, test=0.2, folds=5, seed=0)

    with pytest.raises(AssayError) as caught:
        divide_with(2)
    (line,) = [line for line in str(caught.value).splitlines() if line.startswith("  ")]
    assert line.startswith("  class 'b' has 2 different images, too few for split.test=0.2, split.val=0.15, ")
    enough = int(line.rpartition(" ")[2])
    divide_with(enough)
    with pytest.raises(AssayError, match=rf"'b' has {enough - 1} .* it needs about {enough}"):
        divide_with(enough - 1)
