"""What is not here is named with the one command that brings it: made, pulled or rebuilt."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from src.auditing.checks import artifacts, data, lineage, metrics
from src.auditing.target import AuditTarget
from src.auditing.verdict import CheckLog, Verdict
from tests.support.remotes import configure_remote

STAGES = {
    "ingest": {"cmd": "python -m src.ingest", "outs": ["data/ingest"]},
    "train": {"cmd": "python -m src.train", "deps": ["data/ingest"], "outs": ["models/base"]},
    "evaluate": {"cmd": "python -m src.evaluate", "deps": ["models/base"], "outs": ["reports/evaluate"]},
}


def lock(folder: Path, md5: str) -> None:
    """``dvc.lock`` after ingest and train; evaluate has never run."""
    stages = {
        name: {"cmd": STAGES[name]["cmd"], "outs": [{"path": STAGES[name]["outs"][0], "md5": md5}]}
        for name in ("ingest", "train")
    }
    (folder / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))


def described(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": STAGES}))
    (folder / "params.yaml").write_text("seed: 0\n")
    lock(folder, "1" * 32)
    return folder


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AuditTarget:
    """A clone without a remote, in which dvc.lock has more than the disk."""
    monkeypatch.setenv("DVC_GLOBAL_CONFIG_DIR", str(tmp_path / "user"))
    root = described(tmp_path / "clone")
    return AuditTarget("the workspace", root, root, "train", is_workspace=True)


def test_what_was_never_made_is_made(workspace: AuditTarget) -> None:
    assert workspace.absence("reports/evaluate/metrics.json") == "not made yet (dvc repro)"
    configure_remote(workspace.root)  # which cannot have it
    assert workspace.absence("reports/evaluate/metrics.json") == "not made yet (dvc repro)"


def test_for_what_no_stage_makes_there_is_no_command(workspace: AuditTarget) -> None:
    assert workspace.absence("reports/of_an_older_pipeline.json") == "not here"


def test_what_was_recorded_is_pulled_where_there_is_a_remote(workspace: AuditTarget) -> None:
    assert workspace.absence("models/base") == "not here (dvc repro)"
    configure_remote(workspace.root)
    assert workspace.absence("models/base") == "not here (dvc pull)"


def test_older_results_are_not_those_of_todays_pipeline(workspace: AuditTarget, tmp_path: Path) -> None:
    record = replace(workspace, folder=described(tmp_path / "record"), is_workspace=False)
    assert record.absence("models/base") == "not here (dvc repro)"
    lock(workspace.root, "2" * 32)
    assert record.absence("models/base") == "not here (--rebuild makes it again)"
    configure_remote(workspace.root)
    assert record.absence("models/base") == "not here (dvc fetch --all-commits, or --rebuild)"
    lock(workspace.root, "1" * 32)
    assert record.absence("models/base") == "not here (dvc pull)"


def test_the_checks_name_the_command(workspace: AuditTarget) -> None:
    see = CheckLog()
    data.check(workspace, see)
    assert [(f.what, f.found, f.verdict) for f in see.findings] == [
        (path, "not here (dvc repro)", Verdict.INCOMPLETE) for path in ("data/ingest", "models/base")
    ]
    assert "data/ingest is not here (dvc repro), so its content is not looked at" in see.notes
    see = CheckLog()
    metrics._model(workspace, see)
    assert see.skipped == "reports/evaluate/predictions.parquet is not made yet (dvc repro)"
    see = CheckLog()
    artifacts.check(workspace, see)
    assert str(see.skipped).endswith("models/base is not here (dvc repro)")
    see = CheckLog()
    assert metrics._validation(workspace, see) == ({}, {})
    (workspace.folder / "models/base").mkdir(parents=True)
    metrics._validation(workspace, see)
    lead = "the base's validation metrics were not recomputed"
    absent = ("models/base", "data/ingest/images.npy")
    assert see.notes == [f"{lead}: {path} is not here (dvc repro)" for path in absent]
    see = CheckLog()
    lineage._stages(workspace, see)
    assert see.notes == ["not made yet: evaluate (dvc repro)"]
