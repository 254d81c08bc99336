"""A colleague has the registry, its aliases and the history of decisions, by records and tracked files."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from google.protobuf import json_format
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement

from src.auditing.audit import RebuildOptions, run_audit
from src.auditing.resolve import Places, resolve_target
from src.core.hashing import content_hash, file_hash
from src.provenance.journal import attempts
from src.records.files import Record, read_records
from src.registry.archive import find_archived
from src.registry.decision_records import import_records, publish_decisions
from src.registry.decisions import (
    Challenge,
    Registration,
    Ruling,
    append_decisions,
    decisions,
    now,
)
from src.registry.loading import describe_version
from src.registry.manual import change_champion
from src.registry.versions import read_version
from src.track import main, track
from src.tracking.mlflow_store import connect
from tests.support.journals import lineage_of
from tests.support.records import names, publish, rewrite, train
from tests.support.registries import Workspace, aliases, registry
from tests.support.remotes import configure_remote


@pytest.fixture
def here(root: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A repository in which the base is trained; it is its own working folder."""
    train(root, root)
    workspace = Workspace(root, root, monkeypatch)
    workspace.configure(constraints=[])
    publish_made(workspace, "onnx_fp32")
    return workspace


def add(here: Workspace, variant: str, **options: float) -> None:
    """A variant with the record of its execution."""
    here.add(variant, **options)
    publish_made(here, variant)


def publish_made(here: Workspace, variant: str) -> None:
    """The record of the execution that made a variant."""
    (attempt,) = attempts(here.root, here.lineages[variant])
    publish(here.root, here.folder, attempt, f"models/{variant}")


def register(here: Workspace) -> None:
    """The stage, with the record of its execution."""
    here.register()
    place = here.folder / "reports/register"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(here.folder / "output", place)
    *_, attempt = attempts(here.root, lineage_of("register"))
    publish(here.root, here.folder, attempt, "reports/register")


def pull(source: Path, target: Path) -> None:
    """What git and DVC bring."""
    for name in ("models", "reports"):
        shutil.copytree(source / name, target / name, dirs_exist_ok=True)


def of_kind(workspace: Path, kind: str) -> list[Record]:
    return [r for r in read_records(workspace).decisions if r.predicate["decision"]["kind"] == kind]


@pytest.mark.slow
def test_a_colleague_has_the_same_registry(here: Workspace, mate: Path) -> None:
    add(here, "old", latency=2.0)
    register(here)
    add(here, "new", latency=1.0)
    register(here)
    pull(here.folder, mate)
    done = import_records(mate, mate)
    assert (done.refused, done.missing) == ([], set())
    track(mate)
    ours, theirs = registry(mate), registry(here.root)
    assert ours["aliases"] == theirs["aliases"] == {"challenger": "3", "champion": "3"}
    assert ours["history"] == theirs["history"] == "2,3"
    assert ours == theirs
    assert decisions(mate) == decisions(here.root)


def run_track(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command, in this process."""
    monkeypatch.setenv("DVC_ROOT", str(root))
    monkeypatch.setattr(sys, "argv", ["track"])
    main()


@pytest.mark.slow
def test_the_command_says_what_it_did_and_the_second_time_that_it_did_nothing(
    here: Workspace, mate: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add(here, "quick")
    register(here)
    pull(here.folder, mate)
    capsys.readouterr()
    run_track(mate, monkeypatch)
    first = capsys.readouterr().out.splitlines()
    assert first[0].startswith("imported: 4 executions")
    assert "registered: shapes version 2 (challenger, champion)" in first
    run_track(mate, monkeypatch)
    assert capsys.readouterr().out.splitlines() == [
        "MLflow runs: 0 created, 0 refreshed, 3 unchanged, 0 waiting"
    ]


@pytest.mark.slow
def test_a_registration_whose_record_was_deleted_is_named_with_what_follows(
    here: Workspace, mate: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add(here, "quick")
    register(here)
    pull(here.folder, mate)
    (lost,) = (r for r in of_kind(mate, "registration") if r.predicate["decision"]["variant"] == "quick")
    (mate / lost.path).unlink()
    with pytest.raises(SystemExit) as ended:
        run_track(mate, monkeypatch)
    said = capsys.readouterr().err
    assert ended.value.code == 1 and "champion" not in aliases(mate)
    assert (
        f"1 record is missing.\n{lost.path}: it is named by a challenge of shapes and a ruling of shapes"
        in said
    )
    assert "MLflow may lack the version, and with it the champion" in said
    (mate / lost.path).write_bytes((here.folder / lost.path).read_bytes())
    run_track(mate, monkeypatch)
    assert aliases(mate)["champion"] == "2"


def test_the_author_writes_a_deleted_record_of_a_decision_again(here: Workspace) -> None:
    add(here, "quick")
    register(here)
    before = names(here.folder)
    for kind in ("registration", "ruling"):
        (here.folder / of_kind(here.folder, kind)[-1].path).unlink()
    assert len(names(here.folder)) == len(before) - 2
    publish_decisions(here.root, here.folder)
    assert names(here.folder) == before


def test_what_a_version_is_judged_by_and_made_from_comes_along(here: Workspace, mate: Path) -> None:
    add(here, "quick")
    register(here)
    pull(here.folder, mate)
    assert import_records(mate, mate).missing == set()
    made = [d for d in decisions(mate) if isinstance(d, Registration)]
    (registration,) = (each for each in made if each.variant == "quick")
    for name in registration.archived:
        ours, theirs = find_archived(mate, name), find_archived(here.root, name)
        assert ours and theirs and content_hash(ours) == content_hash(theirs)
    assert len(registration.archived) == 3


@pytest.mark.slow
def test_a_version_that_others_registered_is_called_imported(here: Workspace, mate: Path) -> None:
    register(here)
    pull(here.folder, mate)
    import_records(mate, mate)
    track(mate)
    uri, said = "models:/shapes/1", "imported from reports/records"
    assert describe_version(mate, uri) == f"{uri}, {said}"
    title = read_version(connect(mate), "shapes", "1").title
    assert title == f"shapes version 1 (challenger, champion), {said}"
    assert describe_version(here.root, uri) == uri
    assert read_version(connect(here.root), "shapes", "1").title == "shapes version 1 (challenger, champion)"
    (imported,) = (d for d in decisions(mate) if isinstance(d, Registration))
    append_decisions(mate, replace(imported, time=now()))  # this machine registers the same file
    assert describe_version(mate, uri) == uri


@pytest.mark.slow
def test_a_record_that_comes_after_its_version_is_kept_with_it(
    here: Workspace, mate: Path, tmp_path: Path
) -> None:
    """Of what others have made, the model is here before the output of the stage register."""
    register(here)
    pull(here.folder, mate)
    shutil.rmtree(mate / "reports/register")
    import_records(mate, mate)
    track(mate)
    champion = "models:/shapes@champion"
    lacking = resolve_target(champion, Places(mate, tmp_path / "one"), lambda: connect(mate))
    assert lacking.remedy == "dvc repro" and "reports/register/versions.zip" in lacking.lacks["record"]
    checks = run_audit(lacking, RebuildOptions(), False, lambda _: None).checks
    skipped = {check.evidence.skipped for check in checks if check.status == "SKIPPED"}
    assert skipped == {"no record to check yet (run dvc repro)"}
    configure_remote(mate)
    pulled = resolve_target(champion, Places(mate, tmp_path / "two"), lambda: connect(mate))
    assert pulled.remedy == "dvc pull; python -m src.track"
    pull(here.folder, mate)
    import_records(mate, mate)
    track(mate)
    version = read_version(connect(mate), "shapes", "@champion")
    assert version.tags["record"] == read_version(connect(here.root), "shapes", "@champion").tags["record"]
    kept = connect(mate).client.list_logged_model_artifacts(version.model_id, "record")
    assert [artifact.path for artifact in kept] == [f"record/{version.tags['record']}"]


def test_importing_and_publishing_again_changes_nothing(here: Workspace, mate: Path) -> None:
    add(here, "quick")
    register(here)
    pull(here.folder, mate)
    import_records(mate, mate)
    before = names(mate)
    import_records(mate, mate)
    publish_decisions(mate, mate)
    assert (decisions(mate), names(mate)) == (decisions(here.root), before)


def test_each_decision_names_what_it_speaks_of_by_hash(here: Workspace) -> None:
    add(here, "quick")
    register(here)
    registrations, (challenge,), (ruling,) = (
        of_kind(here.folder, kind) for kind in ("registration", "challenge", "ruling")
    )
    (registration,) = (r for r in registrations if r.predicate["decision"]["variant"] == "quick")
    executions = {r.sha256: r for r in read_records(here.folder).executions}

    def about(record: Record) -> list[str]:
        return [entry["digest"]["sha256"] for entry in record.predicate["about"]]

    (made,) = about(registration)
    assert "models/quick/model.onnx" in executions[made].subjects
    assert about(challenge) == [registration.sha256]
    assert about(ruling) == [registration.sha256, challenge.sha256]
    sha256 = file_hash(here.folder / "models/quick/model.onnx")
    for record in (registration, challenge, ruling):
        said = json.loads((here.folder / record.path).read_text())
        Statement.copy_from_pb(json_format.ParseDict(said, statement_pb2.Statement())).validate()
        assert said["subject"] == [{"name": "model.onnx", "digest": {"sha256": sha256}}]


def test_that_no_variant_is_good_enough_is_a_record_about_all_of_them(here: Workspace) -> None:
    add(here, "one")
    add(here, "two")
    here.configure(constraints=["model/bytes <= 10"])
    register(here)
    (challenge,) = of_kind(here.folder, "challenge")
    assert challenge.predicate["decision"]["lineage"] is None
    assert challenge.subjects.keys() == {f"{name}/model.onnx" for name in ("onnx_fp32", "one", "two")}
    assert len(challenge.predicate["about"]) == 3


def test_of_two_people_the_last_to_decide_prevails_in_both_clones(here: Workspace, mate: Path) -> None:
    add(here, "old", latency=2.0)
    register(here)
    add(here, "new", latency=1.0)
    register(here)
    pull(here.folder, mate)
    import_records(mate, mate)
    track(mate)
    change_champion(mate, "shapes", "2", "a person prefers it")
    assert (aliases(mate)["champion"], aliases(here.root)["champion"]) == ("2", "3")
    pull(mate, here.folder)
    import_records(here.root, here.folder)
    track(here.root)
    assert aliases(here.root)["champion"] == aliases(mate)["champion"] == "2"
    last = decisions(here.root)[-1]
    assert isinstance(last, Ruling) and (last.by, last.reason) == ("person", "a person prefers it")


def test_a_decision_with_fields_that_this_version_does_not_know_is_refused_by_name(
    here: Workspace, mate: Path
) -> None:
    add(here, "quick")
    register(here)
    (challenge,) = of_kind(here.folder, "challenge")
    bad = rewrite(here.folder, challenge, {"predicate/decision/mood": "good"})
    pull(here.folder, mate)
    (reason,) = import_records(mate, mate).refused
    assert bad.name in reason and "mood" in reason
    assert not any(isinstance(decision, Challenge) for decision in decisions(mate))
