"""Rows that share a name, are a pair, or are connected by others that are, form one group."""

import numpy as np
import pytest

from src.data.splitting.assignment.groups import group_rows
from src.data.splitting.assignment.rule import SplitRule

NONE = np.zeros((0, 2), dtype=np.int64)


def test_rows_without_a_name_are_alone() -> None:
    assert group_rows([[None] * 3], NONE).tolist() == [0, 1, 2]


def test_a_name_connects_and_names_of_different_kinds_do_not() -> None:
    assert group_rows([["a", "b", "a", None, "b"]], NONE).tolist() == [0, 1, 0, 3, 1]
    assert group_rows([["a", None, None], [None, "a", "a"]], NONE).tolist() == [0, 1, 1]


@pytest.mark.parametrize("turned", [False, True])
def test_pairs_connect_in_either_order_and_in_chains(turned: bool) -> None:
    pairs = np.array([[2, 4], [3, 5], [0, 5], [6, 7]])
    found = group_rows([[None] * 8], pairs[:, ::-1] if turned else pairs)
    assert found.tolist() == [0, 1, 2, 0, 2, 0, 6, 6]


def test_a_chain_may_be_of_names_and_pairs() -> None:
    names = [[None, "x", None, "x", None, None], [None, None, "y", None, "y", None]]
    assert group_rows(names, np.array([[3, 4], [0, 2]])).tolist() == [0, 0, 0, 0, 0, 5]


def test_without_near_copies_no_row_has_a_pair() -> None:
    assert SplitRule().near.tolist() == []
    assert SplitRule().near.shape == (0, 2)
