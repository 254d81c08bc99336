"""``data.subject``: a column of the table, or a pattern in the path."""

from pathlib import Path

import pytest

from src.core.errors import AssayError
from src.data.ingestion.listing import Listing
from src.data.ingestion.sources import read_listing
from tests.support.pictures import write_folder


def subjects(listing: Listing) -> dict[str, str | None]:
    return {item.source: item.subject for item in listing.items}


def write_table(folder: Path) -> None:
    write_folder(folder, {"p1_x": 1, "p2_x": 2})
    rows = ["p1_x/0000.png,a,Ada", "p2_x/0000.png,b,", "p2_x/0001.png,b,Zoe\u0308"]
    (folder / "labels.csv").write_text("\n".join(["path,label,patient", *rows]) + "\n", encoding="utf-8")


def test_a_column_names_the_subject(tmp_path: Path) -> None:
    write_table(tmp_path)
    listing = read_listing(tmp_path, "csv", "patient")
    assert list(subjects(listing).values()) == ["Ada", None, "Zo\u00eb"]
    assert listing.ignored == []
    assert read_listing(tmp_path, "csv").ignored == []
    assert set(subjects(read_listing(tmp_path, "csv")).values()) == {None}


def test_a_pattern_finds_the_subject_in_the_path(tmp_path: Path) -> None:
    write_table(tmp_path)
    assert list(subjects(read_listing(tmp_path, "csv", r"^(p\d)_")).values()) == ["p1", "p2", "p2"]
    write_folder(tmp_path / "folder", {"a": 2, "b": 1})
    found = subjects(read_listing(tmp_path / "folder", "image_folder", r"\d\d\d\d"))
    assert found == {"a/0000.png": "0000", "a/0001.png": "0001", "b/0000.png": "0000"}
    found = subjects(read_listing(tmp_path / "folder", "image_folder", "(?:a/(.*)1)?"))
    assert found == {"a/0000.png": None, "a/0001.png": "000", "b/0000.png": None}


def test_a_pattern_that_misses_images_is_refused_with_their_names(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a": 2, "b": 12})
    with pytest.raises(AssayError) as caught:
        read_listing(tmp_path, "image_folder", "a/(.*)")
    for text in ("data.subject=a/(.*) matches 2 of 14 paths", "b/0000.png", "and 2 more", "labels.csv"):
        assert text in str(caught.value)


def test_what_is_neither_column_nor_pattern_is_refused(tmp_path: Path) -> None:
    write_table(tmp_path)
    with pytest.raises(
        AssayError, match=r"patent is neither a column.*nor|data\.subject=patent matches 0 of 3"
    ):
        read_listing(tmp_path, "csv", "patent")
    with pytest.raises(AssayError, match=r"neither a column of labels\.csv nor a regular expression"):
        read_listing(tmp_path, "csv", "(")


def test_idx_files_have_no_subjects(tmp_path: Path) -> None:
    with pytest.raises(AssayError, match="idx files have no paths"):
        read_listing(Path("data/raw/digits").resolve(), "idx", "x")
