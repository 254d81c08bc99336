"""A record says in the standard form what an execution made of what, and names no machine."""

import hashlib
import json
import socket
from pathlib import Path

import pytest
from google.protobuf import json_format
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement

from src.core.hashing import file_hash, hash_tree
from src.provenance.dvc_lock import folder_md5s, listing_md5
from src.provenance.journal import attempts
from src.records.execution import child_records, journal_record, makers
from src.records.files import FOLDER, read_records, write_record
from tests.support.journals import (
    begin,
    begin_child,
    begin_search,
    child_lineage,
    end_child,
    lineage_of,
    tried,
)
from tests.support.records import MATERIALS, compress, evaluate, names, publish, rewrite, train


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
    assert told["builder"] == {"id": "urn:assay:stage:1"}
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


def test_another_machine_reads_what_the_journal_of_the_first_said(folder: Path) -> None:
    record = train(folder, folder)
    (attempt,) = attempts(folder)
    said, read = attempt.record, journal_record(record)
    same = ("stage", "address", "command", "params", "lineage", "parents", "subject", "metrics", "outputs")
    for key in (*same, "status", "started", "ended", "git", "seed", "tags", "numerics", "experiment"):
        assert read[key] == said[key], key
    assert read["variant"] is None and read["ad_hoc"] is False
    assert read["process"] == {"pid": None, "host": None, "started": None}
    assert (read["record"], read["figures"], read["model"], read["attached"]) == (record.name, [], None, {})
    variant = journal_record(compress(folder, folder, "int8"))
    assert (variant["stage"], variant["variant"], variant["address"]) == ("compress", "int8", "compress@int8")
    assert variant["outputs"].keys() == hash_tree(folder / "models/int8").keys()


def test_a_record_names_the_copies_that_are_outputs(folder: Path) -> None:
    assert train(folder, folder).extension["model"] is True
    extension = evaluate(folder, folder).extension
    assert extension["figures"] == ["reports/evaluate/confusion.png"]
    assert (extension["model"], extension["history"], extension["attached"]) == (False, False, {})
    attempt = begin(folder, "benchmark", "benchmark", parents={"train": lineage_of("one")})
    (folder / "reports/benchmark").mkdir(parents=True)
    for name in ("kept.png", "elsewhere.png"):
        (folder / "reports/benchmark" / name).write_text(name)
    pictures = [folder / "reports/benchmark" / name for name in ("kept.png", "elsewhere.png")]
    attempt.attach(lineage_of("one"), {"speed/latency_p50_ms": 1.0}, pictures, {})
    pictures[1].unlink()  # it was no output
    attached = publish(folder, folder, attempt, "reports/benchmark").extension["attached"]
    assert attached[lineage_of("one")]["figures"] == ["reports/benchmark/kept.png"]
    assert attached[lineage_of("one")]["metrics"] == {"speed/latency_p50_ms": 1.0}


def test_trials_that_have_ended_are_in_the_record_of_their_search(folder: Path) -> None:
    search = begin_search(folder)
    for number, state in enumerate(("complete", "failed")):
        tried(folder, number, state)
    tried(folder, 0, outcome="again")
    begin_child(folder, 2)  # it has not ended
    (folder / "reports/sweep").mkdir(parents=True)
    (folder / "reports/sweep/trials.csv").write_text("")
    record = publish(folder, folder, search, "reports/sweep")
    found = list(child_records(record, journal_record(record)))
    assert [(child["name"], child["status"]) for child in found] == [
        ("trial-000", "FINISHED"),
        ("trial-001", "FAILED"),
    ]
    last = list(attempts(folder, child_lineage("sweep", 0)))[-1].record
    for key in ("outputs", "params", "metrics", "tags", "parent", "started", "ended", "lineage"):
        assert found[0][key] == last[key], key
    assert found[1]["reason"] == "loss is NaN in epoch 2"
    assert found[0]["record"] == record.name


def test_a_fold_keeps_only_the_parameters_that_its_stage_has_not(folder: Path) -> None:
    stage = begin_search(folder, "cross_validate")
    shared = stage.record["params"]
    own = {**shared, "seed": 99, "train.epochs": None}
    end_child(begin_child(folder, 0, 1, parent="cross_validate", params=own))
    (folder / "reports/cross_validate").mkdir(parents=True)
    record = publish(folder, folder, stage, "reports/cross_validate")
    (child,) = record.extension["children"]
    assert child["inherits"] is True
    assert child["params"] == {key: value for key, value in own.items() if shared.get(key, ...) != value}
    assert child["params"].keys() < own.keys()
    (read,) = child_records(record, journal_record(record))
    assert read["params"] == own


def test_of_two_executions_with_the_same_bytes_the_newer_made_the_input(folder: Path) -> None:
    first = train(folder, folder, name="one")
    second = train(folder, folder, name="two")
    md5 = listing_md5(folder_md5s(folder / "models/base"))
    for records in ([first, second], [second, first]):
        assert [record.name for record in makers(records, {"models/base": md5})] == [second.name]


def decision(**changes: object) -> dict[str, object]:
    predicate = {"decision": {"kind": "ruling"}, "about": [], "assay_record": {"format": 1}}
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [],
        "predicateType": "urn:assay:registry-decision:1",
        "predicate": {**predicate, **changes},
    }


def test_executions_and_decisions_are_told_apart(folder: Path) -> None:
    made, decided = train(folder, folder), write_record(folder, decision())
    read = read_records(folder)
    assert read.refused == ()
    assert [record.name for record in read.executions] == [made.name]
    assert [record.name for record in read.decisions] == [decided.name]
    assert decided.reference == {
        "name": f"reports/records/{decided.name}",
        "digest": {"sha256": file_hash(folder / decided.path)},
    }


@pytest.mark.parametrize(
    "statement",
    [
        decision(decision={}),
        {**decision(), "predicateType": "urn:assay:guess:1"},
        {**decision(), "_type": "https://in-toto.io/Statement/v2"},
        {**decision(), "subject": [{"name": "model.onnx", "digest": {"sha256": "0" * 31}}]},
        {**decision(), "subject": [{"name": "model.onnx", "digest": {"sha256": "0" * 65}}]},
    ],
)
def test_a_decision_that_lacks_what_readers_rely_on_is_refused(
    folder: Path, statement: dict[str, object]
) -> None:
    record = write_record(folder, statement)
    (reason,) = read_records(folder).refused
    assert record.name in reason and "it is not a record of Assay" in reason
