"""What is found in folders of real files."""

import shutil

import numpy as np
import pytest
from PIL import Image

from src.core.errors import AssayError
from src.proposal.findings import doubts, facts
from src.proposal.inspection import inspect
from tests.support.pictures import encoded, noise, write_folder
from tests.support.workspaces import ROOT


def look(folder):
    return inspect(folder, workers=1, advance=lambda _: None)


def said(found) -> str:
    return "\n".join([*facts(found), *doubts(found)])


def picture(folder, label, name, image) -> None:
    (folder / label).mkdir(parents=True, exist_ok=True)
    (folder / label / name).write_bytes(encoded(image, name.rpartition(".")[2]))


def test_counts_sizes_formats_and_colors(tmp_path):
    for n in range(3):
        picture(tmp_path, "cat", f"{n}.png", noise(n, (100, 80)))
        picture(tmp_path, "dog", f"{n}.jpg", noise(10 + n, (100, 80), "L"))
    picture(tmp_path, "dog", "more.jpg", noise(20, (100, 80), "L"))
    found = look(tmp_path)
    assert found.counts == {"cat": 3, "dog": 4}
    assert found.formats == {"PNG": 3, "JPEG": 4}
    assert found.image_size == (96, 96)  # the largest that these images fill
    assert found.channels == 3
    assert found.colored.sum() == 3
    assert "7 images in 2 classes, as a folder for each class." in said(found)
    assert "All are 100 × 80 pixels" in said(found)
    assert "The file format tells classes apart (cat: PNG, dog: JPEG)" in said(found)


def test_gray_images_get_one_channel_also_when_they_are_stored_as_rgb(tmp_path):
    for label in ("cat", "dog"):
        for n in range(2):
            picture(tmp_path, label, f"{n}.png", noise(ord(label[0]) + n, mode="L").convert("RGB"))
    assert look(tmp_path).channels == 1
    assert "4 gray" in said(look(tmp_path))


def test_copies_conflicts_damage_and_tiny_images_are_doubts(tmp_path):
    write_folder(tmp_path, {"cat": 12, "dog": 12})
    for n in range(4):
        picture(tmp_path, "large", f"{n}.png", noise(500 + n, (80, 80)))
    shutil.copy(tmp_path / "cat/0000.png", tmp_path / "cat/again.png")
    shutil.copy(tmp_path / "cat/0001.png", tmp_path / "dog/wrong.png")
    (tmp_path / "dog/broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "dog/notes.txt").write_text("mine")
    text = said(look(tmp_path))
    assert "Images in more than one class: 1. All copies of them are left out" in text
    assert "cat/0001.png (cat) = dog/wrong.png (dog)" in text
    assert "Copies of another image of their class: 1" in text
    assert "1 image cannot be read, such as dog/broken.png" in text
    assert "26 images with a side of less than 32 pixels." in text
    assert "Ignored, because no image of a class: dog/notes.txt." in text
    assert "Classes with fewer than 10 images: large (4)" in text


def test_the_index_leaves_out_what_contradicts_itself(tmp_path):
    write_folder(tmp_path, {"cat": 3, "dog": 3})
    shutil.copy(tmp_path / "cat/0001.png", tmp_path / "dog/wrong.png")
    found = look(tmp_path)
    assert len(found.images) == 7
    assert sorted(found.index().sources) == [
        *("cat/0000.png", "cat/0002.png", "dog/0000.png", "dog/0001.png", "dog/0002.png"),
    ]


def test_transparency_and_elongated_images(tmp_path):
    for label in ("cat", "dog"):
        picture(tmp_path, label, "a.png", noise(ord(label[0]), (64, 64), "RGBA"))
        picture(tmp_path, label, "b.png", noise(1 + ord(label[0]), (200, 50)))
    text = said(look(tmp_path))
    assert "2 images can have transparent parts, which become white." in text
    assert "2 images with a side more than 3 times the other" in text


def test_near_copies_are_counted(tmp_path):
    base = Image.fromarray(np.random.default_rng(0).integers(0, 255, (8, 8, 3), np.uint8)).resize((64, 64))
    write_folder(tmp_path, {"cat": 2, "dog": 2})
    picture(tmp_path, "cat", "one.jpg", base)
    (tmp_path / "dog/one.jpg").write_bytes(encoded(base, "jpg", quality=60))
    assert "Pairs of near copies: 1" in said(look(tmp_path))


def test_an_obvious_subject_keeps_its_images_together_in_the_index(tmp_path):
    for n in range(36):
        picture(tmp_path, "ill" if n < 18 else "well", f"patient{n // 3:02d}_{n}.png", noise(n))
    found = look(tmp_path)
    assert len(set(found.index().subjects)) == 12
    assert "Names such as patient00 say what belongs together (12 subjects)" in said(found)


def test_idx_files_keep_their_size():
    found = look(ROOT / "data/raw/digits")
    assert (found.source, found.image_size, found.channels) == ("idx", (8, 8), 1)
    assert len(found.images) == 1797
    assert found.complete


def test_a_large_set_is_sampled_evenly_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("src.proposal.inspection.SAMPLE", 10)
    write_folder(tmp_path, {"cat": 20, "dog": 20})
    found = look(tmp_path)
    assert not found.complete
    assert len(found.images) == 10
    assert {found.listing.items[row].label for row in found.rows} == {"cat", "dog"}
    assert "10 of them, evenly spread, were decoded and compared" in said(found)
    assert found.counts == {"cat": 20, "dog": 20}


def test_a_folder_without_a_readable_image_is_refused(tmp_path):
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "a.png").write_bytes(b"nothing")
    with pytest.raises(AssayError, match="none of the images in"):
        look(tmp_path)
