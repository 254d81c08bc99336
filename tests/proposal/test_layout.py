"""How a folder is laid out is found by looking at it; what has no layout is refused with a way forward."""

import pytest

from src.core.errors import AssayError
from src.proposal.layout import find_source
from tests.support.pictures import write_folder
from tests.support.workspaces import ROOT


def test_class_folders_given_splits_a_table_and_idx_files_are_told_apart(tmp_path):
    write_folder(tmp_path / "classes", {"cat": 2, "dog": 2})
    write_folder(tmp_path / "given/train", {"cat": 2, "dog": 2})
    (tmp_path / "table").mkdir()
    (tmp_path / "table/labels.csv").write_text("path,label\n")
    assert find_source(tmp_path / "classes") == "image_folder"
    assert find_source(tmp_path / "given") == "image_folder"
    assert find_source(tmp_path / "table") == "csv"
    assert find_source(ROOT / "data/raw/digits") == "idx"


def test_an_archive_a_missing_folder_and_loose_images_are_refused(tmp_path):
    (tmp_path / "photos.zip").write_bytes(b"PK")
    with pytest.raises(AssayError, match=r"photos.zip is a file: unpack it, and name the folder"):
        find_source(tmp_path / "photos.zip")
    with pytest.raises(AssayError, match="nowhere is missing"):
        find_source(tmp_path / "nowhere")
    (tmp_path / "loose").mkdir()
    (tmp_path / "loose/a.png").write_bytes(b"")
    with pytest.raises(
        AssayError, match=r"1 images, but no folders that say their classes(.|\n)*CLASS/IMAGE"
    ):
        find_source(tmp_path / "loose")


def test_a_folder_around_the_folder_is_named(tmp_path):
    write_folder(tmp_path / "outer/photos", {"cat": 2, "dog": 2})
    with pytest.raises(AssayError, match=f"name that one, {tmp_path / 'outer/photos'}"):
        find_source(tmp_path / "outer")
    assert find_source(tmp_path / "outer/photos") == "image_folder"
