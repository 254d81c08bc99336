"""Numbers in messages."""

import pytest

from src.core.wording import counted


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
