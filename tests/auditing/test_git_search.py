"""Which commit holds these files: a real git history."""

import subprocess

import pytest

from src.auditing.git_search import commits_of, find_commit, read_tree, resolve


@pytest.fixture
def repository(tmp_path):
    """Three commits of one source file, and one of something else."""
    place = tmp_path / "repository"
    (place / "src").mkdir(parents=True)
    git(place, "init", "--quiet")
    for number in range(3):
        (place / "src/a.py").write_text(f"a = {number}\n")
        (place / "dvc.yaml").write_text("stages: {}\n")
        git(place, "add", "--all")
        git(place, "commit", "--quiet", "--message", f"a is {number}")
    (place / "README.md").write_text("more")
    git(place, "add", "--all")
    git(place, "commit", "--quiet", "--message", "Read me")
    return place


def git(place, *arguments):
    own = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    return subprocess.run(
        ["git", *own, *arguments], cwd=place, check=True, capture_output=True, text=True
    ).stdout


def copy_of(repository, tmp_path, text):
    folder = tmp_path / "record"
    (folder / "src/__pycache__").mkdir(parents=True)
    (folder / "src/__pycache__/a.pyc").write_bytes(b"not counted")
    (folder / "src/a.py").write_text(text)
    (folder / "dvc.yaml").write_text("stages: {}\n")
    return folder


def test_an_earlier_commit_is_found(repository, tmp_path):
    origin = find_commit(repository, copy_of(repository, tmp_path, "a = 1\n"))
    assert origin.committed and origin.subject == "a is 1"
    assert origin.commit == git(repository, "rev-parse", "HEAD~2").strip()


def test_code_that_no_commit_holds_is_compared_with_the_nearest(repository, tmp_path):
    folder = copy_of(repository, tmp_path, "a = 1\n")
    (folder / "src/b.py").write_text("")
    origin = find_commit(repository, folder)
    assert not origin.committed
    assert (origin.differing, origin.subject) == (("src/b.py",), "a is 1")


def test_without_git_nothing_is_committed(tmp_path):
    origin = find_commit(tmp_path, copy_of(tmp_path, tmp_path, ""))
    assert (origin.commit, origin.committed) == (None, False)


def test_a_revision_is_unpacked(repository, tmp_path):
    assert resolve(repository, "HEAD~1") == git(repository, "rev-parse", "HEAD~1").strip()
    assert resolve(repository, "nothing") is None
    assert read_tree(repository, "HEAD~2", tmp_path / "there", ["src", "conf"])
    assert (tmp_path / "there/src/a.py").read_text() == "a = 1\n"
    assert not (tmp_path / "there/dvc.yaml").exists()
    assert not read_tree(repository, "HEAD", tmp_path / "none", ["conf"])


def test_the_commits_of_a_path(repository):
    assert len(commits_of(repository, "src")) == 3
    assert commits_of(repository, "conf") == []
