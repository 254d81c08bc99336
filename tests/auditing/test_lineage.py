"""What the journal says was decided and written, against what is there; what it imported is no witness."""

from pathlib import Path

import pytest
import yaml

from src.auditing.checks import lineage
from src.auditing.target import AuditTarget
from src.auditing.verdict import CheckLog, Verdict
from src.core.hashing import file_hash, hash_tree
from src.provenance.dvc_lock import md5_of
from src.provenance.journal import RunRecord
from src.registry.decisions import Registration, Ruling, add_decisions, append_decisions
from src.registry.versions import VersionFacts
from tests.support.journals import compressed, lineage_of, record
from tests.support.remotes import configure_remote

ABSENT = lineage_of("onnx one")


@pytest.fixture
def version() -> VersionFacts:
    """The only version that MLflow has."""
    return VersionFacts(
        **{"name": "shapes", "version": "1", "aliases": ("champion",), "tags": {}, "model_id": "m-1"},
        **{"versions": {"1": ("one", "1" * 64)}, "model_tags": {"champion.time": "2026-01-01"}},
        **{"model_run": None, "run": None, "base": None, "embedded": True},
    )


def decided(root: Path, version: VersionFacts, sha256: str) -> CheckLog:
    """What the check says after another version was registered and promoted, of which MLflow has nothing."""
    one = ("shapes", "quick", "one", "1" * 64, "shapes", "record")
    other = ("shapes", "quick", ABSENT, sha256, "shapes", "record")
    append_decisions(
        root,
        Registration(*one),
        Registration(*other),
        Ruling("shapes", ABSENT, sha256, True, "it is better", "rule", embedded=True),
    )
    see = CheckLog()
    lineage._decisions(AuditTarget("version 1", root, root, "compress@quick"), version, see)
    return see


def test_a_version_of_others_whose_model_was_not_pulled_is_no_fault(
    tmp_path: Path, version: VersionFacts
) -> None:
    configure_remote(tmp_path)
    see = decided(tmp_path, version, "2" * 64)
    assert see.findings == []
    assert any("1 other versions are not here: dvc fetch --all-commits" in note for note in see.notes)


def test_a_version_that_mlflow_could_have_and_lacks_is_a_fault(tmp_path: Path, version: VersionFacts) -> None:
    compressed(tmp_path, tmp_path / "model")
    see = decided(tmp_path, version, file_hash(tmp_path / "model/model.onnx"))
    assert [finding.verdict for finding in see.findings] == [Verdict.TAMPERED] * 2


def test_decisions_that_records_brought_are_not_those_of_this_machine(
    tmp_path: Path, version: VersionFacts
) -> None:
    registration = Registration("shapes", "quick", "one", "1" * 64, "shapes", "record")
    ruling = Ruling("shapes", "one", "1" * 64, False, "it is worse", "rule", embedded=True)
    append_decisions(tmp_path, registration)
    add_decisions(tmp_path, [ruling])
    see = CheckLog()
    lineage._decisions(AuditTarget("version 1", tmp_path, tmp_path, "compress@quick"), version, see)
    assert see.agreed == ["MLflow has all 2 decisions on shapes; this machine made 1 of them"]


def only_imported(root: Path, version: VersionFacts, ruled: str, by_others: bool) -> CheckLog:
    """What the check says of a version that others have registered, whose model has come after that."""
    compressed(root, root / "model")
    sha256, facts = file_hash(root / "model/model.onnx"), ("shapes", "record")
    one = Registration("shapes", "quick", "one", "1" * 64, *facts, time="2026-01-01")
    other = Registration("shapes", "quick", ABSENT, sha256, *facts, time="2026-01-02")
    ruling = Ruling("shapes", "one", "1" * 64, False, "it is worse", "rule", embedded=True, time=ruled)
    add_decisions(root, [one, other])
    (add_decisions(root, [ruling]) if by_others else append_decisions(root, ruling))
    see = CheckLog()
    lineage._decisions(AuditTarget("version 1", root, root, "compress@quick"), version, see)
    return see


@pytest.mark.parametrize(("ruled", "by_others"), [("2026-01-03", False), ("9999", True)])
def test_a_version_whose_model_came_after_the_last_ruling_here_is_not_lost(
    tmp_path: Path, version: VersionFacts, ruled: str, by_others: bool
) -> None:
    (finding,) = only_imported(tmp_path, version, ruled, by_others).findings
    assert finding.verdict is Verdict.INCOMPLETE
    assert finding.found == "not there yet: run python -m src.track"


def test_an_imported_version_whose_model_was_here_at_a_ruling_is_lost(
    tmp_path: Path, version: VersionFacts
) -> None:
    (finding,) = only_imported(tmp_path, version, "9999", by_others=False).findings
    assert (finding.found, finding.verdict) == ("is no longer in MLflow", Verdict.TAMPERED)


@pytest.fixture
def target(tmp_path: Path) -> AuditTarget:
    """A workspace with one stage, which has run."""
    (tmp_path / "models/base").mkdir(parents=True)
    (tmp_path / "models/base/model.safetensors").write_bytes(b"weights")
    (tmp_path / "params.yaml").write_text("seed: 0\n")
    stage = {"cmd": "python -m src.train", "params": ["seed"], "outs": ["models/base"]}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"train": stage}}))
    locked = {"cmd": stage["cmd"], "params": {"params.yaml": {"seed": 0}}}
    locked["outs"] = [{"path": "models/base", "md5": md5_of(tmp_path / "models/base")}]
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": {"train": locked}}))
    return AuditTarget("the workspace", tmp_path, tmp_path, "train", is_workspace=True)


def journal(target: AuditTarget, outputs: dict[str, str] | None = None, **changes: object) -> CheckLog:
    """What the check says after an attempt that ended well; by default with the outputs that are there."""
    attempt = RunRecord.open(target.root, record("train", target.lineages["train"], **changes))
    attempt.update(outputs=outputs or hash_tree(target.folder / "models/base"))
    attempt.close("FINISHED")
    see = CheckLog()
    lineage._journal(target, see)
    return see


def test_what_this_machine_ran_is_a_witness(target: AuditTarget) -> None:
    assert journal(target).agreed == [
        "this machine ran 1 of these stages, and its journal has what they wrote"
    ]


@pytest.mark.parametrize("mark", [{"record": "0123456789abcdef.json"}, {"tags": {"adopted": "elsewhere"}}])
def test_what_the_journal_imported_is_no_witness(target: AuditTarget, mark: dict[str, object]) -> None:
    see = journal(target, **mark)
    assert see.agreed == [] and see.findings == []
    assert see.notes == ["only imported into the journal of this machine, so no witness: train"]


def test_other_bytes_than_the_journal_has_are_a_fault_even_if_it_imported_them(target: AuditTarget) -> None:
    see = journal(target, {"model.safetensors": "0" * 64}, record="0123456789abcdef.json")
    assert [finding.what for finding in see.findings] == ["models/base/model.safetensors"]
