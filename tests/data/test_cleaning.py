"""What is dropped or refused, and the message."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.core.errors import AssayError
from src.data.ingestion.cleaning import count_duplicates, find_conflicts, find_unusable
from src.data.ingestion.decoding_pool import DecodedImage
from src.data.ingestion.listing import ImageEntry

GOOD = [
    DecodedImage("aa", 1, 1),
    DecodedImage("bb", 1, 1),
    DecodedImage("aa", 1, 1),
    DecodedImage("aa", 1, 1),
    DecodedImage("cc", 1, 1),
]
ITEMS = [
    ImageEntry("cat/1.png", "cat"),
    ImageEntry("cat/2.png", "cat"),
    ImageEntry("dog/1.png", "dog"),
    ImageEntry("cat/3.png", "cat"),
    ImageEntry("dog/2.png", "dog"),
]
BROKEN = DecodedImage(reason="the file is empty (0 bytes)")


def test_conflicting_images_are_all_dropped() -> None:
    reasons = find_unusable(ITEMS, GOOD, "fail", "drop")
    assert [reason is None for reason in reasons] == [False, True, False, False, True]
    assert "cat/1.png (cat) = dog/1.png (dog) = cat/3.png (cat)" in str(reasons[0])


def test_conflicts_are_refused_with_their_names() -> None:
    with pytest.raises(
        AssayError, match=r"cat/1\.png \(cat\) = dog/1\.png \(dog\).*\n.*data\.on_conflict=drop"
    ):
        find_unusable(ITEMS, GOOD, "fail", "fail")


def test_repeats_under_one_label_are_not_a_conflict() -> None:
    items = [ImageEntry(f"{row}.png", "cat") for row in range(5)]
    assert find_unusable(items, GOOD, "fail", "fail") == [None] * 5


def test_unreadable_images_do_not_conflict_with_each_other() -> None:
    outcomes = [BROKEN, GOOD[1], BROKEN, GOOD[0], GOOD[4]]
    assert find_unusable(ITEMS, outcomes, "drop", "fail") == [BROKEN.reason, None, BROKEN.reason, None, None]


def test_unreadable_images_are_refused_together() -> None:
    items = [ImageEntry(f"cat/{row:02d}.png", "cat") for row in range(13)]
    with pytest.raises(AssayError) as caught:
        find_unusable(items, [*[BROKEN] * 12, GOOD[0]], "fail", "fail")
    message = str(caught.value)
    assert "12 of 13 images cannot be used" in message
    assert "cat/00.png: the file is empty (0 bytes)" in message
    assert "and 2 more" in message
    assert "data.on_corrupt=drop" in message


def test_a_class_that_loses_all_images_is_refused() -> None:
    outcomes = [GOOD[0], GOOD[1], BROKEN, GOOD[3], BROKEN]
    with pytest.raises(AssayError, match=r"dog \(2 dropped; dog/1\.png: the file is empty"):
        find_unusable(ITEMS, outcomes, "drop", "drop")
    different = [BROKEN, *(DecodedImage(digest, 1, 1) for digest in "bcde")]
    assert find_unusable(ITEMS, different, "drop", "drop")[1:] == [None] * 4


def test_all_kinds_of_faults_are_refused_at_once() -> None:
    items = [*ITEMS, ImageEntry("cow/1.png", "cow")]
    with pytest.raises(AssayError) as caught:
        find_unusable(items, [*GOOD, BROKEN], "fail", "fail")
    for text in (
        "1 of 6 images cannot be used",
        "more than one label for 1 image:",
        "no image of 1 class can be used:",
    ):
        assert text in str(caught.value)


@given(rows=st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xy")), max_size=30))
def test_a_row_is_in_a_conflict_if_and_only_if_another_row_contradicts_it(
    rows: list[tuple[str, str]],
) -> None:
    digests, labels = [row[0] for row in rows], [row[1] for row in rows]
    found = sorted(row for group in find_conflicts(digests, labels) for row in group)
    expected = [
        place for place, row in enumerate(rows) if any(row[0] == d and row[1] != label for d, label in rows)
    ]
    assert found == expected


def test_duplicates_count_all_but_the_first() -> None:
    assert count_duplicates(["a", "b", "a", "a"]) == 2
