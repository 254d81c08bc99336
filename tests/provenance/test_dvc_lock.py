"""DVC's names for files and folders, against DVC itself."""

import subprocess
import sys

import pytest
import yaml

from src.core.errors import AssayError
from src.provenance.dvc_lock import Cache, LockedStage, dvc_option, md5_of, read_lock

DAMAGED = ("stages: [", "a: 1", "- 1", "stages: 1", "stages: {a: 1}", "stages: {a: {deps: []}}")


@pytest.fixture
def project(tmp_path):
    """A DVC project with a folder and a file that DVC has taken over."""
    (tmp_path / "folder/below").mkdir(parents=True)
    for name in ("folder/b.txt", "folder/below/a.txt", "folder/below-b.txt", "file.txt"):
        (tmp_path / name).write_text(name)
    for command in (["init", "--no-scm", "--quiet"], ["add", "--quiet", "folder", "file.txt"]):
        subprocess.run([sys.executable, "-m", "dvc", *command], cwd=tmp_path, check=True, capture_output=True)
    return tmp_path


@pytest.mark.slow
def test_names_are_those_that_dvc_gives(project):
    for name in ("folder", "file.txt"):
        (entry,) = yaml.safe_load((project / f"{name}.dvc").read_text())["outs"]
        assert md5_of(project / name) == entry["md5"]


def test_the_cache_lists_what_a_folder_holds(project):
    cache, name = Cache(project), md5_of(project / "folder")
    files = cache.files(name)
    assert files.keys() == {"b.txt", "below/a.txt", "below-b.txt"}
    assert all(cache.object(md5).read_text() == f"folder/{path}" for path, md5 in files.items())
    assert cache.files(md5_of(project / "file.txt")) == {"": md5_of(project / "file.txt")}
    assert cache.files("0" * 32 + ".dir") is None


@pytest.mark.slow
def test_a_cache_elsewhere_is_found(project):
    (project / ".dvc/config.local").write_text("[cache]\n    dir = ../../shared cache\n")
    assert Cache(project).folder == project.parent / "shared cache/files/md5"


@pytest.mark.parametrize("listing", ['[{"md5": "0"}]', "[1]", "[", "1"])
def test_a_damaged_listing_is_named(tmp_path, listing):
    cache, name = Cache(tmp_path), f"{'0' * 32}.dir"
    cache.object(name).parent.mkdir(parents=True)
    cache.object(name).write_text(listing)
    with pytest.raises(AssayError, match=rf"{name[2:]}, a listing in DVC's cache, is damaged"):
        cache.files(name)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is missing: no stage has run here"),
        *((content, r"is damaged(.|\n)*git checkout dvc.lock") for content in DAMAGED),
    ],
)
def test_a_lock_that_cannot_be_read(tmp_path, content, message):
    """Not YAML, or not of that form."""
    if content is not None:
        (tmp_path / "dvc.lock").write_text(content)
    with pytest.raises(AssayError, match=message):
        read_lock(tmp_path / "dvc.lock")


def test_a_stage_has_the_parameters_of_all_its_files(tmp_path):
    stage = {
        "cmd": ["python a.py", "python b.py"],
        "deps": [{"path": "data/raw/cats", "md5": "1"}, {"path": "src", "md5": "2"}, {"path": "unhashed"}],
        "params": {"params.yaml": {"seed": 0}, "other.yaml": {"depth": 3}},
        "outs": [{"path": "made", "md5": "3"}, {"path": "empty"}],
    }
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump({"stages": {"make": stage, "bare": {"cmd": "x"}}}))
    locked = read_lock(tmp_path / "dvc.lock")
    assert locked["make"] == LockedStage(
        "python a.py && python b.py",
        {"data/raw/cats": "1", "src": "2"},
        {"seed": 0, "depth": 3},
        {"made": "3"},
    )
    assert locked["make"].raw == {"data/raw/cats": "1"}
    assert locked["bare"] == LockedStage("x", {}, {}, {})


def test_bytes_that_are_no_text_are_named(tmp_path):
    (tmp_path / "dvc.lock").write_bytes(b"stages: \xff")
    with pytest.raises(AssayError, match="is damaged"):
        read_lock(tmp_path / "dvc.lock")


def test_the_local_setting_comes_first_and_a_file_need_not_have_it(tmp_path):
    (tmp_path / ".dvc").mkdir()
    assert dvc_option(tmp_path, "cache", "dir") is None
    (tmp_path / ".dvc/config").write_text("[cache]\n    dir = there\n    type = copy\n")
    (tmp_path / ".dvc/config.local").write_text("[cache]\n    dir = here\n")
    assert dvc_option(tmp_path, "cache", "dir") == "here"
    assert dvc_option(tmp_path, "cache", "type") == "copy"
    assert dvc_option(tmp_path, "core", "remote") is None
