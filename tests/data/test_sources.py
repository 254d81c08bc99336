"""The three layouts of raw data, and the messages about data that cannot be used."""

import gzip
import json
import os
import struct
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from src.core.errors import AssayError
from src.data.ingestion import idx_format
from src.data.ingestion.listing import ImageEntry
from src.data.ingestion.sources import read_listing
from tests.support.pictures import write_folder


def _touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


# image_folder


def test_class_folders_in_a_fixed_order(tmp_path: Path) -> None:
    _touch(tmp_path, "b/2.JPG", "b/10.png", "a/x.webp", "a/y.Bmp", "a/z.jpeg")
    listing = read_listing(tmp_path, "image_folder")
    assert listing.classes == ["a", "b"]
    assert [item.source for item in listing.items] == [
        "a/x.webp",
        "a/y.Bmp",
        "a/z.jpeg",
        "b/10.png",
        "b/2.JPG",
    ]
    assert listing.items[0] == ImageEntry("a/x.webp", "a", None, None)


def test_given_splits_by_folder(tmp_path: Path) -> None:
    _touch(tmp_path, "train/a/1.png", "train/b/1.png", "val/a/1.png", "test/b/1.png", "test/notes.md")
    listing = read_listing(tmp_path, "image_folder")
    assert [(item.source, item.label, item.given_split) for item in listing.items] == [
        ("test/b/1.png", "b", "test"),
        ("train/a/1.png", "a", "train"),
        ("train/b/1.png", "b", "train"),
        ("val/a/1.png", "a", "val"),
    ]
    assert listing.ignored == ["test/notes.md"]


@pytest.mark.parametrize(
    ("name", "split"),
    [("Train", "train"), ("training", "train"), ("valid", "val"), ("VALIDATION", "val"), ("Testing", "test")],
)
def test_splits_by_the_names_that_other_tools_give_them(tmp_path: Path, name: str, split: str) -> None:
    other = "test" if split != "test" else "train"
    _touch(tmp_path / "folders", f"{name}/a/1.png", f"{name}/b/1.png", f"{other}/a/1.png", f"{other}/b/1.png")
    listing = read_listing(tmp_path / "folders", "image_folder")
    assert {item.source.split("/")[0]: item.given_split for item in listing.items} == {
        name: split,
        other: other,
    }
    assert listing.notes == [f"{name}/ is read as the split {split}"]
    text = f"path,label,split\n1.png,a,{name}\n2.png,b,{other}\n"
    listing = read_listing(_csv(tmp_path / "table", text, "1.png", "2.png"), "csv")
    assert [item.given_split for item in listing.items] == [split, other]


@pytest.mark.parametrize(
    ("one", "other"),
    [("Cat", "cat"), ("ice cream", "ice_cream"), ("Å", "å"), ("ｃａｔ", "cat")],
)
def test_names_that_are_nearly_the_same_are_pointed_out(tmp_path: Path, one: str, other: str) -> None:
    text = f"path,label\n1.png,{one}\n2.png,{other}\n3.png,dog\n"
    listing = read_listing(_csv(tmp_path, text, "1.png", "2.png", "3.png"), "csv")
    assert len(listing.classes) == 3  # they may be two: a and A of handwriting
    pair = ", ".join(map(repr, sorted((one, other))))
    assert listing.notes == [f"classes {pair} have nearly the same name: are they one class?"]


def test_names_that_differ_are_not_pointed_out(tmp_path: Path) -> None:
    _touch(tmp_path, "cat/1.png", "cats/1.png", "c/1.png", "train/1.png")
    assert read_listing(tmp_path, "image_folder").notes == []


def test_images_in_a_format_that_cannot_be_read_are_not_left_out_in_silence(tmp_path: Path) -> None:
    _touch(tmp_path, "a/1.png", "a/2.GIF", "a/3.tiff", "a/4.heic", "b/1.gif", "b/notes.txt")
    listing = read_listing(tmp_path, "image_folder")
    assert [item.source for item in listing.items] == [
        "a/1.png",
        "a/2.GIF",
        "a/3.tiff",
        "a/4.heic",
        "b/1.gif",
    ]
    assert listing.ignored == ["b/notes.txt"]


def test_names_that_are_not_utf8_are_refused_together(tmp_path: Path) -> None:
    _touch(tmp_path, "a/1.png", "b/1.png", "a/.hidden")
    for name in (b"a/caf\xe9.png", b"b/th\xe9.png", b"b/\xff.txt"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).touch()
    with pytest.raises(AssayError) as caught:
        read_listing(tmp_path, "image_folder")
    assert "2 file names" in str(caught.value) and r"a/caf\xe9.png" in str(caught.value)
    text = "path,label\na/1.png,a\nb/1.png,b\n"
    listing = read_listing(_csv(tmp_path, text), "csv")
    assert r"b/\xff.txt" in listing.ignored
    json.dumps(listing.ignored, ensure_ascii=False).encode()


def test_train_may_be_a_class_of_vehicles(tmp_path: Path) -> None:
    _touch(tmp_path, "train/1.png", "bus/1.png")
    listing = read_listing(tmp_path, "image_folder")
    assert listing.classes == ["bus", "train"]
    assert {item.given_split for item in listing.items} == {None}


def test_other_files_are_listed_as_ignored_except_those_of_the_system(tmp_path: Path) -> None:
    _touch(tmp_path, "a/1.png", "a/1.txt", "b/1.png", "README.md", "top.png", ".DS_Store", "b/.DS_Store")
    assert read_listing(tmp_path, "image_folder").ignored == ["README.md", "a/1.txt", "top.png"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a/1.png"], r"has only one class \(a\)"),
        (["1.png", "2.png"], "has no class folders"),
        (["a/1.png", "b/notes.txt"], "b has no images"),
        (["a/1.png", "b/c/1.png"], "b/c is a folder inside the class folder b"),
        (["a/b/1.png", "c/d/1.png", "e/x.txt"], r"(?s)a/b is a folder.*c/d is a folder.*e has no images"),
        (["train/a/1.png", "cats/1.png"], r"cats is not.*if train is a class, move the images"),
        (
            ["train/a/1.png", "vals/a/1.png"],
            r"vals \(did you mean val\?\) is not\. Name splits train, val, test",
        ),
        (["train/a/1.png", "Tset/a/1.png"], r"Tset \(did you mean test\?\) is not"),
        (
            ["train/a/1.png", "val/a/1.png", "Valid/b/1.png"],
            "val and Valid both mean the split val|Valid and val",
        ),
    ],
)
def test_folders_that_cannot_be_used(tmp_path: Path, names: list[str], message: str) -> None:
    _touch(tmp_path, *names)
    with pytest.raises(AssayError, match=message):
        read_listing(tmp_path, "image_folder")


@pytest.mark.parametrize("source", ["idx", "image_folder", "csv"])
@pytest.mark.parametrize("state", ["missing", "empty", "is not a folder"])
def test_missing_and_empty_folders(tmp_path: Path, source: str, state: str) -> None:
    folder = tmp_path / "cats"
    if state == "empty":
        _touch(folder, ".gitignore")
    elif state == "is not a folder":
        folder.write_text("a file")
    with pytest.raises(AssayError, match=f"cats .*{state}.*dvc add .*cats"):
        read_listing(folder, source)


def test_a_known_data_set_can_be_fetched(tmp_path: Path) -> None:
    with pytest.raises(AssayError, match=r"python -m src\.fetch fashion_mnist"):
        read_listing(tmp_path / "fashion_mnist", "idx")


HIDDEN = (
    "__MACOSX/1.png",
    "@eaDir/1.png",
    ".thumbnails/1.png",
    ".ipynb_checkpoints/1.png",
    "a/.thumbnails/1.png",
    "a/._1.png",
)


def test_hidden_files_and_folders_are_ignored(tmp_path: Path) -> None:
    _touch(tmp_path, "a/1.png", "b/1.png", *HIDDEN)
    listing = read_listing(tmp_path, "image_folder")
    assert listing.classes == ["a", "b"]
    assert [item.source for item in listing.items] == ["a/1.png", "b/1.png"]
    assert listing.ignored == [
        *(".ipynb_checkpoints/", ".thumbnails/", "@eaDir/", "__MACOSX/", "a/._1.png", "a/.thumbnails/")
    ]


def test_a_hidden_folder_does_not_change_the_layout(tmp_path: Path) -> None:
    _touch(tmp_path, "train/a/1.png", "train/b/1.png", "test/a/1.png", "test/.cache/1.png", ".cache/1.png")
    listing = read_listing(tmp_path, "image_folder")
    assert listing.classes == ["a", "b"]
    assert {item.given_split for item in listing.items} == {"train", "test"}
    assert listing.ignored == [".cache/", "test/.cache/"]


NFC, NFD = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))


def test_a_class_is_one_however_its_name_is_encoded(tmp_path: Path) -> None:
    _touch(
        tmp_path / "folders", f"train/{NFD}/1.png", "train/tea/1.png", f"test/{NFC}/1.png", "test/tea/1.png"
    )
    listing = read_listing(tmp_path / "folders", "image_folder")
    assert listing.classes == [NFC, "tea"]
    assert {item.source.split("/")[1] for item in listing.items} == {NFC, NFD, "tea"}  # files keep theirs
    text = f"path,label,group\n1.png,{NFC},{NFD}\n2.png,{NFD},{NFC}\n3.png,tea,\n"
    listing = read_listing(_csv(tmp_path / "table", text, "1.png", "2.png", "3.png"), "csv")
    assert listing.classes == [NFC, "tea"]
    assert [item.group for item in listing.items] == [NFC, NFC, None]
    _idx(tmp_path / "idx", "", 4)
    (tmp_path / "idx/classes.txt").write_text(f"{NFC}\n{NFD}\n", encoding="utf-8")
    with pytest.raises(AssayError, match="no name twice"):
        read_listing(tmp_path / "idx", "idx")


# csv


def _csv(folder: Path, text: str, *images: str) -> Path:
    _touch(folder, *images)
    (folder / "labels.csv").write_bytes(text.encode())
    return folder


def test_csv_with_split_and_group(tmp_path: Path) -> None:
    text = "\ufeffgroup, path,label,split,weight\r\np1,x/1.png,cat,train,3\r\n,2.jpg,dog,,4\r\n\r\n"
    listing = read_listing(_csv(tmp_path, text, "x/1.png", "2.jpg", "3.jpg", "notes.md"), "csv")
    assert listing.classes == ["cat", "dog"]
    assert listing.items == [
        ImageEntry("x/1.png", "cat", "train", "p1", cells=("p1", "3")),
        ImageEntry("2.jpg", "dog", None, None, cells=("", "4")),
    ]
    assert listing.columns == ["group", "weight"]
    assert listing.ignored == ["3.jpg", "notes.md"]


def test_csv_columns_are_kept_in_one_spelling_and_without_the_nameless(tmp_path: Path) -> None:
    name, value = (unicodedata.normalize("NFD", text) for text in ("café", "Orléans"))
    text = f"path,label,{name},,\n1.png,a, {value} ,,\n2.png,b,,x,y\n"
    listing = read_listing(_csv(tmp_path, text, "1.png", "2.png"), "csv")
    assert listing.columns == ["café"]
    assert [item.cells for item in listing.items] == [("Orléans",), ("",)]


def test_csv_paths_are_written_one_way(tmp_path: Path) -> None:
    listing = read_listing(
        _csv(tmp_path, "path,label\n./1.png,a\nx/../2.png,b\n", "1.png", "2.png", "x/3.png"), "csv"
    )
    assert [item.source for item in listing.items] == ["1.png", "2.png"]


def test_one_path_under_two_labels_is_left_to_the_policy_for_conflicts(tmp_path: Path) -> None:
    listing = read_listing(_csv(tmp_path, "path,label\n1.png,a\n1.png,b\n", "1.png"), "csv")
    assert len(listing.items) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"labels\.csv, line 1: column path, label is missing; found none"),
        ("path,lable\n1.png,a\n", "line 1: column label is missing; found path, lable"),
        ("path,label,label\n", "line 1: column label appears twice"),
        ("path,label\n", "lists no images"),
        ("path,label\n1.png,a\n", "only one class"),
        ("path,label\n1.png,a\n9.png,b\n", "line 3, column path: 9.png is not in"),
        ("path,label\n1.png,a\n,b\n", "line 3, column path: empty"),
        ("path,label\n1.png,a\n2.png, \n", "line 3, column label: empty"),
        (
            "path,label,split\n1.png,a,trains\n",
            "line 2, column split: trains is neither empty nor one of train, val, test",
        ),
        ("path,label\n1.png,a\n2.png\n", "line 3: 1 cell, but the header has 2 columns"),
        ("path,label\n1.png,a,b\n", "line 2: 3 cells"),
        ("path,label\n../1.png,a\n", r"line 2, column path: \.\./1\.png is outside"),
        ("path,label\n/etc/passwd,a\n", "line 2, column path: /etc/passwd is outside"),
        ("path,label\n1.png,a\n./1.png,a\n", "line 3, column path: 1.png is also in line 2"),
        ('path,label\n1.png,a\n"2.png,b\n', "line 3.*Save it as CSV"),
        ("path;label\n1.png;a\n", "column path, label is missing; found path;label"),
    ],
)
def test_csv_faults_name_file_line_and_column(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(AssayError, match=message):
        read_listing(_csv(tmp_path, text, "1.png", "2.png"), "csv")


def test_csv_faults_are_reported_together(tmp_path: Path) -> None:
    lines = "".join(f"{row}.png,\n" for row in range(10, 30))
    with pytest.raises(AssayError) as caught:
        read_listing(_csv(tmp_path, f"path,label\n{lines}"), "csv")
    assert "has 40 faults" in str(caught.value)
    assert "line 2, column path" in str(caught.value)
    assert "line 2, column label" in str(caught.value)
    assert "and 30 more" in str(caught.value)


def test_csv_that_is_missing_or_not_utf8(tmp_path: Path) -> None:
    _touch(tmp_path, "1.png")
    with pytest.raises(AssayError, match=r"labels\.csv is missing"):
        read_listing(tmp_path, "csv")
    (tmp_path / "labels.csv").write_bytes("path,label\n1.png,a\n2.png,Käfer\n".encode("latin-1"))
    with pytest.raises(AssayError, match="line 3: not UTF-8"):
        read_listing(tmp_path, "csv")


# idx


def _idx(folder: Path, prefix: str, count: int, labels: list[int] | None = None) -> None:
    folder.mkdir(exist_ok=True)
    images = np.random.default_rng(count).integers(0, 256, (count, 4, 3), dtype=np.uint8)
    targets = np.array([row % 2 for row in range(count)] if labels is None else labels, np.uint8)
    (folder / f"{prefix}images-idx3-ubyte.gz").write_bytes(idx_format.to_bytes(images))
    (folder / f"{prefix}labels-idx1-ubyte.gz").write_bytes(idx_format.to_bytes(targets))


def test_idx_with_and_without_a_given_test_split(tmp_path: Path) -> None:
    _idx(tmp_path / "plain", "", 3)
    plain = read_listing(tmp_path / "plain", "idx")
    assert plain.classes == ["0", "1"]
    assert plain.items[2] == ImageEntry("images-idx3-ubyte.gz#2", "0", None, None)
    _idx(tmp_path / "split", "train-", 3)
    _idx(tmp_path / "split", "t10k-", 2)
    items = read_listing(tmp_path / "split", "idx").items
    assert [item.given_split for item in items] == ["train"] * 3 + ["test"] * 2
    assert items[3].source == "t10k-images-idx3-ubyte.gz#0"


def test_classes_are_numbers_in_their_order_or_named_by_file(tmp_path: Path) -> None:
    _idx(tmp_path, "", 3, [10, 2, 10])
    assert read_listing(tmp_path, "idx").classes == ["2", "10"]
    (tmp_path / "classes.txt").write_text("zebra\nant\n")
    with pytest.raises(AssayError, match=r"names 2 classes, for labels 0 to 1, but .* labels 2, 10"):
        read_listing(tmp_path, "idx")
    _idx(tmp_path, "", 3, [1, 0, 1])
    listing = read_listing(tmp_path, "idx")
    assert listing.classes == ["zebra", "ant"]
    assert [item.label for item in listing.items] == ["ant", "zebra", "ant"]


def test_idx_reads_back_what_was_written(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (100, 40, 30), dtype=np.uint8)  # 2 stored blocks
    path = tmp_path / "images-idx3-ubyte.gz"
    path.write_bytes(idx_format.to_bytes(images))
    np.testing.assert_array_equal(np.concatenate(list(idx_format.read_images(path, 10**6))), images)
    path.write_bytes(gzip.compress(gzip.decompress(idx_format.to_bytes(images))))
    np.testing.assert_array_equal(np.concatenate(list(idx_format.read_images(path, 10**6))), images)


IMAGES = gzip.decompress(idx_format.to_bytes(np.zeros((5, 4, 3), np.uint8)))


def packed(content: bytes) -> bytes:
    """Compressed without the time: all processes that run tests must collect the same ones."""
    return gzip.compress(content, mtime=0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with nothing"),
        (b"hello", "is damaged"),
        (packed(IMAGES)[:-12], "is damaged|truncated"),
        (packed(IMAGES[:-1]), "truncated: 1 bytes are missing"),
        (packed(IMAGES[:9]), "truncated"),
        (packed(IMAGES + b"\0"), "longer than its header says"),
        (packed(b"\0\0\x0d\x03" + IMAGES[4:]), "begins with 00000d03, not 00000803"),
        (packed(struct.pack(">4I", 0x803, 0, 4, 3)), "is empty"),
        (packed(struct.pack(">4I", 0x803, 5, 60000, 60000)), r"more than data\.max_pixels"),
        (packed(IMAGES)[:-8] + b"\0" * 8, "is damaged"),
    ],
)
def test_damaged_idx_files_are_refused_by_name(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "images-idx3-ubyte.gz").write_bytes(content)
    with pytest.raises(AssayError, match=rf"images-idx3-ubyte\.gz.*({message})"):
        list(idx_format.read_images(tmp_path / "images-idx3-ubyte.gz", 10**6))


def test_idx_files_that_do_not_belong_together(tmp_path: Path) -> None:
    _idx(tmp_path, "", 5, [0, 1, 0])
    with pytest.raises(AssayError, match=r"has 5 images, but labels-idx1-ubyte\.gz has 3 labels"):
        read_listing(tmp_path, "idx")
    (tmp_path / "labels-idx1-ubyte.gz").unlink()
    with pytest.raises(
        AssayError, match=r"labels-idx1-ubyte\.gz, which belongs to images-idx3-ubyte\.gz, is missing"
    ):
        read_listing(tmp_path, "idx")
    _idx(tmp_path, "", 5)
    _idx(tmp_path, "train-", 5)
    with pytest.raises(AssayError, match="Remove one of the two pairs"):
        read_listing(tmp_path, "idx")


def test_other_files_are_not_an_idx_data_set(tmp_path: Path) -> None:
    write_folder(tmp_path / "mine", {"a": 1, "b": 1})
    with pytest.raises(AssayError, match=r"has neither images-idx3.*data=image_folder"):
        read_listing(tmp_path / "mine", "idx")
