"""What "the same bytes" means: of files, of values, and of folders without what does not belong to them."""

import hashlib
from pathlib import Path

import pytest

from src.core.hashing import content_hash, file_hash, hash_tree, iter_files, json_hash


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files that count, and others that git, Python or a file manager leaves."""
    for name in ("b.txt", "a/c.txt", "a/.gitignore", ".DS_Store", "a/__pycache__/x.pyc"):
        (tmp_path / "it" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "it" / name).write_text(name)
    (tmp_path / "it" / "empty").mkdir()
    return tmp_path / "it"


def test_a_file_is_its_bytes(folder: Path) -> None:
    assert file_hash(folder / "b.txt") == content_hash(folder / "b.txt") == sha256("b.txt")


def test_a_folder_is_the_files_that_belong_to_it_by_path(folder: Path) -> None:
    tree = hash_tree(folder)
    assert list(tree.items()) == [("a/c.txt", sha256("a/c.txt")), ("b.txt", sha256("b.txt"))]
    assert content_hash(folder) == json_hash(tree)
    (folder / "b.txt").rename(folder / "d.txt")
    assert content_hash(folder) != json_hash(tree), "a name is part of the content"


def test_an_ignored_name_above_the_folder_does_not_empty_it(tmp_path: Path) -> None:
    below = tmp_path / "__pycache__" / "it"
    below.mkdir(parents=True)
    (below / "a.txt").write_text("a")
    assert list(hash_tree(below)) == ["a.txt"]


def test_files_are_listed_once_and_what_is_missing_is_empty(folder: Path) -> None:
    assert list(iter_files(folder / "b.txt")) == [folder / "b.txt"]
    assert sorted(iter_files(folder)) == [folder / "a/c.txt", folder / "b.txt"]
    assert list(iter_files(folder / "missing")) == []


def test_equal_values_have_one_hash_whatever_the_order_of_their_keys() -> None:
    assert json_hash({"b": [1, None], "a": "é"}) == sha256('{"a":"é","b":[1,null]}')
    assert json_hash({"a": "é", "b": [1, None]}) == json_hash({"b": [1, None], "a": "é"})
    assert json_hash({"b": [None, 1], "a": "é"}) != json_hash({"b": [1, None], "a": "é"})


def test_keys_of_several_types_count_as_text_as_in_json() -> None:
    assert json_hash({8: {3: 1}, "none": {}}) == json_hash({"none": {}, "8": {"3": 1}})
    assert json_hash({8: 1}) != json_hash({9: 1})
