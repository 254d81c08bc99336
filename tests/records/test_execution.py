"""A record says in the standard form what an execution made of what, and names no machine."""

import hashlib
import json
import socket
from pathlib import Path

import pytest
from google.protobuf import json_format
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement

from src.core.hashing import file_hash
from src.provenance.dvc_lock import folder_md5s, listing_md5
from src.records.execution import makers
from src.records.files import FOLDER, read_records, write_record
from tests.support.journals import lineage_of
from tests.support.records import MATERIALS, evaluate, names, rewrite, train


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder that is its own repository."""
    return tmp_path / "repository"


def test_the_form_is_that_of_in_toto_and_slsa(folder: Path) -> None:
    """Names of fields as the specifications of Statement v1 and of SLSA's provenance v1.0 have them."""
    said = json.loads((folder / train(folder, folder).path).read_text())
    Statement.copy_from_pb(json_format.ParseDict(said, statement_pb2.Statement())).validate()
    assert said["predicateType"] == "https://slsa.dev/provenance/v1"
    assert said["predicate"].keys() == {"buildDefinition", "runDetails", "assay_record"}
    built, told = said["predicate"]["buildDefinition"], said["predicate"]["runDetails"]
    assert built.keys() == {"buildType", "externalParameters", "resolvedDependencies"}
    assert built["externalParameters"] == {
        "stage": "train",
        "command": "python -m src.train",
        "parameters": {
            "train.epochs": 3,
            "model.kind": "cnn",
            "seed": 7,
            "augment.operations": [{"size": 4, "name": "crop", "again": [1, 2.0]}],
        },
    }
    assert built["resolvedDependencies"] == list(MATERIALS)
    assert told["metadata"]["invocationId"] == lineage_of("one")
    assert told["metadata"]["startedOn"] <= told["metadata"]["finishedOn"]
    weights = next(s for s in said["subject"] if s["name"] == "models/base/model.safetensors")
    assert weights["digest"]["sha256"] == file_hash(folder / "models/base/model.safetensors")


def test_host_and_process_stay_at_home(folder: Path) -> None:
    text = (folder / train(folder, folder).path).read_text()
    assert socket.gethostname() not in text and str(folder) not in text and '"pid"' not in text


def test_its_name_is_the_hash_of_its_content_and_writing_it_again_changes_nothing(folder: Path) -> None:
    record = train(folder, folder)
    assert record.name == f"{file_hash(folder / record.path)[:16]}.json"
    before = (folder / record.path).stat()
    write_record(folder, json.loads((folder / record.path).read_text()))
    assert (folder / record.path).stat().st_mtime_ns == before.st_mtime_ns
    assert names(folder) == {record.name}


def test_the_records_that_made_the_inputs_are_found_by_the_bytes(folder: Path) -> None:
    first = train(folder, folder, weights=b"first")
    old = listing_md5(folder_md5s(folder / "models/base"))
    second = train(folder, folder, weights=b"second")
    new = listing_md5(folder_md5s(folder / "models/base"))
    records = read_records(folder).executions
    assert [r.name for r in makers(records, {"models/base": old})] == [first.name]
    assert [r.name for r in makers(records, {"models/base": new})] == [second.name]
    table = folder_md5s(folder / "models/base")["history.csv"]
    assert [r.name for r in makers(records, {"models/base/history.csv": table})] == [second.name]
    assert makers(records, {"models/base": "0" * 32, "src/train.py": new}) == []


def test_a_changed_record_is_refused_by_name_and_all_others_are_read(folder: Path) -> None:
    good, bad = train(folder, folder), evaluate(folder, folder)
    path = folder / bad.path
    path.write_text(path.read_text().replace('"test/accuracy": 0.9', '"test/accuracy": 1.0'))
    (path.parent / "folder.json").mkdir()
    read = read_records(folder)
    assert [record.name for record in read.found] == [good.name]
    (reason,) = read.refused
    assert bad.path.as_posix() in reason and "changed or renamed after it was written" in reason
    assert "git checkout -- reports/records" in reason


@pytest.mark.parametrize(
    ("version", "hint"), [(2, "Update Assay: git pull"), (0, "The version that wrote it")]
)
def test_another_format_is_refused_by_name(folder: Path, version: int, hint: str) -> None:
    record = rewrite(folder, train(folder, folder), {"predicate/assay_record/format": version})
    (reason,) = read_records(folder).refused
    assert record.name in reason and f"it has format {version}, but this version reads format 1" in reason
    assert hint in reason


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("predicate/runDetails/metadata/invocationId", "../../../elsewhere"),
        ("predicate/assay_record/attached", {"../../..": {}}),
        ("subject/0/digest", {"sha256": "0" * 64, "gitBlob": "--help"}),
        ("subject/0/digest", {"md5": "0" * 32}),
        ("predicate/runDetails", {}),
    ],
)
def test_a_record_whose_hashes_are_none_is_refused_by_name(folder: Path, path: str, value: object) -> None:
    record = rewrite(folder, train(folder, folder), {path: value})
    (reason,) = read_records(folder).refused
    assert record.name in reason and "it is not a record of Assay" in reason


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"_type": "https://in-toto.io/Statement/v1"}'])
def test_something_else_is_refused_by_name(folder: Path, content: str) -> None:
    (folder / FOLDER).mkdir(parents=True)
    name = f"{hashlib.sha256(content.encode()).hexdigest()[:16]}.json"
    (folder / FOLDER / name).write_text(content)
    (reason,) = read_records(folder).refused
    assert name in reason and "it is not a record of Assay" in reason
