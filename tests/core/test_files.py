"""Files and folders that are written completely or not at all, with a process killed in between."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from src.core.files import printable, read_json, replace_folder, replaced, write_json

ROOT = Path(__file__).parents[2]
DIE = """
import os, signal, sys
from pathlib import Path
from src.core.files import replaced

with replaced(Path(sys.argv[1])) as beside:
    if sys.argv[2] == "folder":
        beside.mkdir()
        (beside / "a").write_text("new")
    else:
        beside.write_text("new")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_killed_process_leaves_what_was_there(tmp_path, kind):
    place = tmp_path / "place"
    write(place, kind, "old")
    done = subprocess.run([sys.executable, "-c", DIE, str(place), kind], cwd=ROOT)
    assert done.returncode == -signal.SIGKILL
    assert read(place, kind) == "old"
    with replaced(place) as beside:  # the leftover of the killed process is in nobody's way
        write(beside, kind, "newer")
    assert read(place, kind) == "newer"


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_an_error_leaves_what_was_there_and_nothing_else(tmp_path, kind):
    place = tmp_path / "place"
    write(place, kind, "old")
    with pytest.raises(ZeroDivisionError), replaced(place) as beside:
        write(beside, kind, "new")
        raise ZeroDivisionError
    assert read(place, kind) == "old"
    assert list(tmp_path.iterdir()) == [place]


def test_a_new_folder_takes_the_place_of_a_full_one(tmp_path):
    place = tmp_path / "place"
    write(place, "folder", "old")
    (place / "b").touch()
    with replaced(place) as beside:
        write(beside, "folder", "new")
        assert read(place, "folder") == "old"
    assert [path.name for path in place.iterdir()] == ["a"]
    assert list(tmp_path.iterdir()) == [place]


def test_a_block_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), replaced(tmp_path / "place"):
        pass


def test_json_keeps_its_letters(tmp_path):
    write_json(tmp_path / "a.json", {"é": [1, None]})
    assert read_json(tmp_path / "a.json") == {"é": [1, None]}
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{\n  "é": [\n    1,\n    null\n  ]\n}\n'


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_the_rest_of_a_process_with_the_same_number_is_in_nobodys_way(tmp_path, kind):
    write(tmp_path / f"place.{os.getpid()}.tmp", "folder", "rest")
    with replaced(tmp_path / "place") as beside:
        write(beside, kind, "new")
    assert read(tmp_path / "place", kind) == "new"
    assert list(tmp_path.iterdir()) == [tmp_path / "place"]


def test_on_one_disk_a_folder_is_renamed_and_not_copied(tmp_path):
    write(tmp_path / "source", "folder", "new")
    (tmp_path / "deep" / ".place.replaced").mkdir(parents=True)  # left by a killed process
    (tmp_path / "deep" / ".place.replaced" / "old").touch()
    before = (tmp_path / "source").stat().st_ino
    replace_folder(tmp_path / "source", tmp_path / "deep" / "place")
    assert (tmp_path / "deep" / "place").stat().st_ino == before
    assert list((tmp_path / "deep").iterdir()) == [tmp_path / "deep" / "place"]
    replace_folder(tmp_path / "deep", tmp_path / "not" / "yet" / "there")
    assert (tmp_path / "not" / "yet" / "there" / "place").stat().st_ino == before


@pytest.mark.parametrize("rest", [False, True])
def test_a_folder_on_another_disk_is_copied_and_its_source_removed(tmp_path, rest):
    shared = Path("/dev/shm")
    if not shared.is_dir() or shared.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs a second file system")
    place = tmp_path / "place"
    write(place, "folder", "old")
    if rest:
        (tmp_path / ".place.incoming").mkdir()  # left by a killed process
    with TemporaryDirectory(dir=shared) as name:
        source = Path(name) / "source"
        write(source, "folder", "new")
        replace_folder(source, place)
        assert not source.exists()
    assert read(place, "folder") == "new"
    assert list(tmp_path.iterdir()) == [place]


def test_a_path_that_is_no_text_can_be_printed():
    assert printable(os.fsdecode(b"caf\xe9.png")) == "caf\\xe9.png"
    assert printable(Path("ordinary/é.png")) == "ordinary/é.png"


def write(path: Path, kind: str, text: str) -> None:
    if kind == "folder":
        path.mkdir()
        path = path / "a"
    path.write_text(text, encoding="utf-8")


def read(path: Path, kind: str) -> str:
    return (path / "a" if kind == "folder" else path).read_text(encoding="utf-8")
