"""Numbers in messages."""

import pytest

from src.core.wording import counted, listed


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [
        (1, "image", "1 image"),
        (0, "class", "0 classes"),
        (1200, "entry", "1,200 entries"),
        (1, "independent group", "1 independent group"),
        (2, "independent group", "2 independent groups"),
    ],
)
def test_one_is_singular(number, noun, text):
    assert counted(number, noun) == text


@pytest.mark.parametrize(
    ("names", "text"),
    [([], ""), (["a"], "a"), (["a", "b"], "a, b"), (["a", "b", "c"], "a, b and 1 more")],
)
def test_the_first_names_and_the_number_of_the_others(names, text):
    assert listed(names, 2) == text
