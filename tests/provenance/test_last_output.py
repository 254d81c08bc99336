"""What a stage read and wrote last is found in DVC's cache, whole or not at all."""

import json
from pathlib import Path

import pytest
import yaml

from src.provenance.dvc_lock import Cache, folder_md5s, listing_md5
from src.provenance.last_output import last_files

WANTED = {"data/ingest": "manifest.parquet", "data/split": "splits.parquet"}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Of the stage ``split``: what it read and wrote, in the cache and in dvc.lock."""
    entries = []
    for folder, name in WANTED.items():
        (tmp_path / folder).mkdir(parents=True)
        for each in (name, "else"):
            (tmp_path / folder / each).write_text(f"{folder}/{each}")
        entries.append({"path": folder, "md5": _store(tmp_path, tmp_path / folder)})
    stage = {"cmd": "python -m src.split", "deps": entries[:1], "outs": entries[1:]}
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump({"stages": {"split": stage}}))
    return tmp_path


def _store(root: Path, folder: Path) -> str:
    """Take a folder over into the cache; returns its name there."""
    cache, files = Cache(root), folder_md5s(folder)
    listing = json.dumps([{"md5": md5, "relpath": name} for name, md5 in files.items()])
    texts = {listing_md5(files): listing, **{md5: (folder / name).read_text() for name, md5 in files.items()}}
    for md5, text in texts.items():
        cache.object(md5).parent.mkdir(parents=True, exist_ok=True)
        cache.object(md5).write_text(text)
    return listing_md5(files)


def test_files_are_those_of_the_last_execution_in_the_given_order(repository: Path) -> None:
    (repository / "data/split/splits.parquet").write_text("changed since")
    found = last_files(repository, "split", list(WANTED.items()))
    assert found is not None
    assert [path.read_text() for path in found] == [f"{folder}/{name}" for folder, name in WANTED.items()]


@pytest.mark.parametrize("folder", WANTED)
def test_a_file_that_is_gone_makes_the_others_useless(repository: Path, folder: str) -> None:
    md5 = folder_md5s(repository / folder)[WANTED[folder]]
    Cache(repository).object(md5).unlink()
    assert last_files(repository, "split", list(WANTED.items())) is None


def test_nothing_is_found_where_nothing_was_recorded(repository: Path) -> None:
    assert last_files(repository, "train", list(WANTED.items())) is None
    assert last_files(repository, "split", [("data/ingest", "another.parquet")]) is None
    assert last_files(repository, "split", [("models", "manifest.parquet")]) is None
    md5 = listing_md5(folder_md5s(repository / "data/ingest"))
    Cache(repository).object(md5).unlink()
    assert last_files(repository, "split", list(WANTED.items())) is None
    (repository / "dvc.lock").unlink()
    assert last_files(repository, "split", list(WANTED.items())) is None
