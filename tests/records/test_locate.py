"""The bytes that a record names are found in the working folder, in DVC's cache or in git."""

import hashlib
import subprocess
from pathlib import Path
from typing import Any

import pytest

from src.core.errors import AssayError
from src.provenance.dvc_lock import Cache
from src.records.files import Record
from src.records.locate import Locator

PATH = "reports/table.csv"
WANTED, OTHER = b"wanted", b"other"


def digest_of(content: bytes, **changes: str) -> dict[str, str]:
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return {"sha256": hashlib.sha256(content).hexdigest(), "md5": md5, **changes}


def record_of(digest: dict[str, str]) -> Record:
    statement: dict[str, Any] = {"subject": [{"name": PATH, "digest": digest}]}
    return Record("0123.json", "0" * 64, statement)


@pytest.fixture
def locator(tmp_path: Path) -> Locator:
    """A working folder beside its repository, where nothing is yet."""
    for name in ("workspace/reports", "root", "scratch"):
        (tmp_path / name).mkdir(parents=True)
    return Locator(tmp_path / "workspace", tmp_path / "root", tmp_path / "scratch")


def cached(locator: Locator, md5: str, content: bytes) -> Path:
    path = Cache(locator.root).object(md5)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def committed(locator: Locator, content: bytes) -> str:
    """The name that git gives it."""
    subprocess.run(["git", "init", "--quiet"], cwd=locator.root, check=True)
    command = ["git", "hash-object", "-w", "--stdin"]
    return subprocess.run(
        command, cwd=locator.root, input=content, check=True, capture_output=True
    ).stdout.decode()[:-1]


def test_the_file_in_the_working_folder_is_used_while_it_is_the_recorded_one(locator: Locator) -> None:
    here, digest = locator.workspace / PATH, digest_of(WANTED)
    there = cached(locator, digest["md5"], WANTED)
    assert locator.find(record_of(digest), PATH) == there, "nothing is here yet"
    here.write_bytes(WANTED)
    assert locator.find(record_of(digest), PATH) == here
    here.write_bytes(OTHER)
    assert locator.find(record_of(digest), PATH) == there


def test_what_only_git_has_is_taken_from_there(locator: Locator) -> None:
    blob = committed(locator, WANTED)
    (locator.workspace / PATH).write_bytes(OTHER)
    found = locator.find(record_of(digest_of(WANTED, gitBlob=blob)), PATH)
    assert found is not None
    assert (found.parent, found.read_bytes()) == (locator.scratch, WANTED)


def test_what_is_nowhere_is_not_found(locator: Locator) -> None:
    committed(locator, OTHER)
    assert locator.find(record_of(digest_of(WANTED, gitBlob="0" * 40)), PATH) is None
    (locator.workspace / PATH).write_bytes(OTHER)
    assert locator.find(record_of({"sha256": digest_of(WANTED)["sha256"]}), PATH) is None


def test_a_record_that_contradicts_itself_is_refused_wherever_the_file_is(locator: Locator) -> None:
    wrong = digest_of(WANTED, md5=digest_of(OTHER)["md5"])
    blob = committed(locator, OTHER)
    git_only = {"sha256": wrong["sha256"], "gitBlob": blob}
    message = (
        rf"it says that {PATH} has the SHA-256 {wrong['sha256'][:16]}.*has {digest_of(OTHER)['sha256'][:16]}"
    )
    with pytest.raises(AssayError, match=message):
        locator.find(record_of(git_only), PATH)
    cached(locator, wrong["md5"], OTHER)
    with pytest.raises(AssayError, match=message):
        locator.find(record_of(wrong), PATH)
    (locator.workspace / PATH).write_bytes(OTHER)
    with pytest.raises(AssayError, match=message):
        locator.find(record_of({key: wrong[key] for key in ("sha256", "md5")}), PATH)
