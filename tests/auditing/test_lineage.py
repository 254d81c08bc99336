"""What the journal says was decided, against what MLflow has."""

from pathlib import Path

import pytest

from src.auditing.checks import lineage
from src.auditing.target import AuditTarget
from src.auditing.verdict import CheckLog, Verdict
from src.core.hashing import file_hash
from src.registry.decisions import Registration, Ruling, append_decisions
from src.registry.versions import VersionFacts
from tests.support.journals import compressed, lineage_of

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
    see = decided(tmp_path, version, "2" * 64)
    assert see.findings == []
    assert any("1 other versions are not here: dvc fetch --all-commits" in note for note in see.notes)


def test_a_version_that_mlflow_could_have_and_lacks_is_a_fault(tmp_path: Path, version: VersionFacts) -> None:
    compressed(tmp_path, tmp_path / "model")
    see = decided(tmp_path, version, file_hash(tmp_path / "model/model.onnx"))
    assert [finding.verdict for finding in see.findings] == [Verdict.TAMPERED] * 2
