"""Files and folders that are written completely or not at all, with a process killed in between."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from src.core.files import read_json, replaced, write_json

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
    assert "é" in (tmp_path / "a.json").read_text(encoding="utf-8")


def write(path: Path, kind: str, text: str) -> None:
    if kind == "folder":
        path.mkdir()
        path = path / "a"
    path.write_text(text, encoding="utf-8")


def read(path: Path, kind: str) -> str:
    return (path / "a" if kind == "folder" else path).read_text(encoding="utf-8")
