"""A record names those that it builds on, so a missing one is noticed."""

import subprocess
from pathlib import Path

import pytest

from src.records.files import read_records
from src.records.links import built_on, how_to_restore, missing_records
from tests.support.records import evaluate, rewrite, train

GIT = ["git", "-c", "user.name=T", "-c", "user.email=t@example.org"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder in which a training is recorded, and an evaluation that names it."""
    folder = tmp_path / "repository"
    made = train(folder, folder)
    rewrite(
        folder, evaluate(folder, folder), {"predicate/buildDefinition/resolvedDependencies": [made.reference]}
    )
    return folder


def git(folder: Path, *arguments: str) -> None:
    subprocess.run([*GIT, *arguments], cwd=folder, check=True, capture_output=True)


def commit(folder: Path) -> None:
    git(folder, "init", "-q")
    git(folder, "add", "-A", "reports")
    git(folder, "commit", "-qm", "Results")


def missing(folder: Path) -> list[str]:
    return [each.path for each in missing_records(folder, read_records(folder))]


def of_stage(folder: Path, stage: str):  # type: ignore[no-untyped-def]
    (found,) = (
        r
        for r in read_records(folder).executions
        if r.predicate["buildDefinition"]["externalParameters"]["stage"] == stage
    )
    return found


def test_nothing_is_missing_where_all_are_here(folder: Path) -> None:
    assert missing(folder) == []
    later = of_stage(folder, "evaluate")
    assert {r.name for r in built_on(read_records(folder), [later])} == {
        later.name,
        of_stage(folder, "train").name,
    }


def test_what_another_record_names_is_missed(folder: Path) -> None:
    made = of_stage(folder, "train")
    (folder / made.path).unlink()
    (found,) = missing_records(folder, read_records(folder))
    assert found.path == made.path.as_posix()
    assert [record.name for record in found.named_by] == [of_stage(folder, "evaluate").name]


def test_one_that_was_replaced_under_its_own_new_name_is_missed(folder: Path) -> None:
    made = of_stage(folder, "train")
    rewrite(folder, made, {"predicate/assay_record/metrics": {"val/accuracy": 1.0}})
    assert missing(folder) == [made.path.as_posix()]


def test_another_hash_than_the_record_has_is_noticed(folder: Path) -> None:
    made = of_stage(folder, "train")
    other = {**made.reference, "digest": {"sha256": "0" * 64}}
    rewrite(folder, of_stage(folder, "evaluate"), {"predicate/buildDefinition/resolvedDependencies": [other]})
    assert missing(folder) == [made.path.as_posix()]


def test_a_refused_record_is_not_missing_too(folder: Path) -> None:
    path = folder / of_stage(folder, "train").path
    path.write_text(path.read_text() + " ")
    assert missing(folder) == []


def test_what_only_git_names_is_missed_until_its_deletion_is_committed(folder: Path) -> None:
    commit(folder)
    last = of_stage(folder, "evaluate").path
    (folder / last).unlink()
    assert missing(folder) == [last.as_posix()]
    git(folder, "commit", "-qam", "Delete it on purpose")
    assert missing(folder) == []


def test_the_command_that_restores_it_does(folder: Path) -> None:
    commit(folder)
    path = of_stage(folder, "train").path
    before = (folder / path).read_bytes()
    for delete in ([], ["commit", "-qam", "Delete"]):
        (folder / path).unlink()
        if delete:
            git(folder, *delete)
        _, _, command = how_to_restore(folder, path.as_posix()).partition(": ")
        git(folder, *command.split()[1:])
        assert (folder / path).read_bytes() == before
    assert "ask who made it" in how_to_restore(folder, "reports/records/0000000000000000.json")
