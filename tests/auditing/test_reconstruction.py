"""Files of a recorded hash, wherever they are: a real DVC project with a remote."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from src.auditing.reconstruction import locate
from src.provenance.dvc_lock import md5_of


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A git repository with a folder under DVC, which was pushed to a remote and changed since."""
    place = tmp_path_factory.mktemp("original") / "project"
    (place / "data").mkdir(parents=True)
    run(place, "git", "init", "--quiet")
    dvc(place, "init", "--quiet")
    dvc(place, "remote", "add", "--default", "team", str(place.with_name("remote")))
    for text in ("first", "second"):
        (place / "data/a.txt").write_text(text)
        (place / "kept.txt").write_text(f"{text}, kept")
        dvc(place, "add", "--quiet", "data")
        run(place, "git", "add", "--all")
        run(place, "git", "commit", "--quiet", "--message", text)
        dvc(place, "push", "--quiet")
    return place


@pytest.fixture
def project(original, tmp_path):
    """A copy of it, of which something may be taken away."""
    return Path(shutil.copytree(original, tmp_path / "project", symlinks=True))


def run(place, *command):
    own = ("-c", "user.name=Test", "-c", "user.email=test@example.org") if command[0] == "git" else ()
    subprocess.run([command[0], *own, *command[1:]], cwd=place, check=True, capture_output=True)


def dvc(place, *command):
    run(place, sys.executable, "-m", "dvc", *command)


def name_of(tmp_path, text):
    folder = tmp_path / f"named {text}"
    folder.mkdir()
    (folder / "a.txt").write_text(text)
    return md5_of(folder)


@pytest.mark.slow
def test_an_earlier_version_is_in_the_cache(project, tmp_path):
    found = locate(project, {"data": name_of(tmp_path, "first")}, tmp_path / "place")["data"]
    assert found.origin == "DVC's cache" and (found.path / "a.txt").read_text() == "first"


def test_without_the_cache_it_comes_from_the_remote(project, tmp_path):
    shutil.rmtree(project / ".dvc/cache")
    found = locate(project, {"data": name_of(tmp_path, "first")}, tmp_path / "place")["data"]
    assert found.origin == "DVC's remote" and (found.path / "a.txt").read_text() == "first"


def test_the_working_folder_will_do_if_it_has_the_bytes(project, tmp_path):
    shutil.rmtree(project / ".dvc/cache")
    found = locate(project, {"data": name_of(tmp_path, "second")}, tmp_path / "place")["data"]
    assert found.origin == "the working folder"


def test_git_has_what_it_tracks(project, tmp_path):
    (tmp_path / "first.txt").write_text("first, kept")
    found = locate(project, {"kept.txt": md5_of(tmp_path / "first.txt")}, tmp_path / "place")["kept.txt"]
    assert found.origin.startswith("commit ") and found.path.read_text() == "first, kept"


def test_what_nobody_has_is_nowhere(project, tmp_path):
    assert locate(project, {"data": name_of(tmp_path, "third")}, tmp_path / "place") == {}


def test_the_remote_is_asked_for_what_it_has_beside_what_it_lacks(project, tmp_path):
    shutil.rmtree(project / ".dvc/cache")
    wanted = {"data": name_of(tmp_path, "first"), "models/gone": "0" * 32 + ".dir"}
    found = locate(project, wanted, tmp_path / "place")
    assert found.keys() == {"data"} and found["data"].origin == "DVC's remote"
