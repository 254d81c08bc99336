"""What a record says of the code: the commit, what differs from it, or that git refuses to say."""

import os
import subprocess

import pytest

from src.provenance.git import UNKNOWN, git_state, refusal


def git(place, *arguments):
    own = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
    done = subprocess.run(["git", *own, *arguments], cwd=place, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path):
    """One commit with code."""
    for name in ("src/a.py", "src/with blank.py", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "First")
    return tmp_path


def test_a_clean_commit(repository):
    state = git_state(repository)
    assert state == {"commit": git(repository, "rev-parse", "HEAD"), "branch": "main", "dirty": []}


def test_files_that_differ_from_the_commit(repository):
    (repository / "src/with blank.py").write_text("else")
    (repository / "src/a.py").rename(repository / "src/new.py")
    (repository / "notes.txt").write_text("else")  # decides nothing
    git(repository, "add", "src")
    (repository / "src/untracked.py").write_text("")
    dirty = git_state(repository)["dirty"]
    assert dirty == ["src/a.py", "src/new.py", "src/untracked.py", "src/with blank.py"]


def test_a_worktree_and_a_detached_head(repository, tmp_path_factory):
    place = tmp_path_factory.mktemp("trees") / "tree"
    git(repository, "worktree", "add", "--quiet", "--detach", str(place))
    assert git_state(place) == {**git_state(repository), "branch": None}


@pytest.mark.parametrize("begin", [lambda place: None, lambda place: git(place, "init", "--quiet")])
def test_without_a_repository_or_a_commit_there_is_nothing_to_name(tmp_path, begin):
    begin(tmp_path)
    assert git_state(tmp_path) == {"commit": None, "branch": None, "dirty": []}
    assert refusal(tmp_path) is None


def test_a_refusal_is_told_from_a_missing_repository(repository, monkeypatch):
    assert refusal(repository) is None
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)  # where a person may trust every folder
    assert "dubious ownership" in refusal(repository)
    assert "safe.directory" in refusal(repository)
    assert refusal(repository / "src") == refusal(repository)
    assert git_state(repository) == {"commit": UNKNOWN, "branch": UNKNOWN, "dirty": [UNKNOWN]}
