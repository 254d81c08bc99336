"""What one execution of a stage publishes, keeps and records, around the work itself; without DVC."""

import subprocess
import sys
from pathlib import Path

import pytest

from src.config.dotted_keys import lookup
from src.core.hashing import hash_tree
from src.pipeline import execution
from src.pipeline.execution import StageRun
from src.pipeline.job import Job, parse_arguments, prepare
from src.provenance.journal import RunRecord, attempts
from src.records.files import read_records
from tests.support.workspaces import ROOT

PLACE = Path("data/ingest")
pytestmark = pytest.mark.slow


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh clone without records, which is the working folder; inputs of later stages are there."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(tmp_path / "clone")], check=True)
    monkeypatch.chdir(tmp_path / "clone")
    monkeypatch.delenv("DVC_ROOT", raising=False)
    for record in Path("reports/records").glob("*.json"):
        record.unlink()
    for folder in ("data/split", "data/normalize", "models/base"):
        Path(folder).mkdir(parents=True)
    return tmp_path / "clone"


def ingest(monkeypatch: pytest.MonkeyPatch, text: str, *overrides: str) -> tuple[Job, bool]:
    """Run a stage as ``ingest`` would run, which writes ``text``; also says if it found its checkpoint."""
    monkeypatch.setattr(sys, "argv", ["src.ingest", *overrides])
    job, found = prepare(parse_arguments("ingest", None, None), "ingest"), []

    def build(config: object, run: StageRun) -> None:
        (run.folder / "text").write_text(text)
        run.log(metrics={"val/accuracy": 0.5}, numerics={"threads": 1}, kind="made up")
        found.append((run.state / "checkpoint").is_file())
        (run.state / "checkpoint").touch()

    execution._run(job, build)
    return job, found == [True]


def prepared(monkeypatch: pytest.MonkeyPatch, stage: str) -> Job:
    monkeypatch.setattr(sys, "argv", [f"src.{stage}"])
    return prepare(parse_arguments(stage, None, None), stage)


def journal(root: Path) -> list[RunRecord]:
    return list(attempts(root))


def test_the_result_is_published_and_the_journal_says_what_was_measured(clone, monkeypatch):
    ingest(monkeypatch, "first")
    (attempt,) = journal(clone)
    found = attempt.record
    assert (PLACE / "text").read_text() == "first"
    assert (found["status"], found["outputs"]) == ("FINISHED", hash_tree(PLACE))
    assert found["started"] <= found["ended"]
    assert (found["metrics"], found["tags"]) == ({"val/accuracy": 0.5}, {"kind": "made up"})
    assert found["numerics"]["threads"] == 1
    assert found["data"] == {"name": "digits", "source": "data/raw/digits"}


def test_it_leaves_a_record_and_an_ad_hoc_run_leaves_none(clone, monkeypatch):
    ingest(monkeypatch, "first")
    (record,) = read_records(clone).executions
    assert {Path(path).name for path in record.subjects} == {"text"}
    job, _ = ingest(monkeypatch, "other", "data.image_size=[4,4]")
    assert (job.place / "text").read_text() == "other"
    assert len(read_records(clone).executions) == 1
    assert (PLACE / "text").read_text() == "first"


def test_a_checkpoint_is_kept_until_dvc_has_recorded_the_result(clone, monkeypatch):
    lock = Path("dvc.lock")
    content = lock.read_text()
    lock.unlink()
    assert [ingest(monkeypatch, text)[1] for text in ("first", "second")] == [False, True]
    lock.write_text(content)  # newer than what was published: this is dvc repro --force
    assert not ingest(monkeypatch, "third")[1]
    assert (PLACE / "text").read_text() == "third"


def test_a_build_that_fails_publishes_nothing_and_says_why(clone, monkeypatch):
    job = prepared(monkeypatch, "ingest")

    def build(config: object, run: StageRun) -> None:
        (run.folder / "text").write_text("half")
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        execution._run(job, build)
    (attempt,) = journal(clone)
    assert (attempt.record["status"], attempt.record["reason"]) == ("FAILED", "broken")
    assert not PLACE.exists() and not read_records(clone).executions


def test_records_that_git_brought_are_in_the_journal(clone, monkeypatch, tmp_path):
    ingest(monkeypatch, "first")
    before = [attempt.record["lineage"] for attempt in journal(clone)]
    for folder in (clone / ".assay", clone / PLACE):
        folder.rename(tmp_path / f"away-{folder.name}")
    ingest(monkeypatch, "other", "data.image_size=[4,4]")
    assert set(before) < {attempt.record["lineage"] for attempt in journal(clone)}


@pytest.mark.parametrize(("stage", "uses"), [("ingest", False), ("train", True), ("evaluate", True)])
def test_settings_of_the_sweep_are_used_where_the_stage_or_a_parent_reads_them(
    clone, monkeypatch, capsys, stage, uses
):
    PLACE.mkdir()
    Path("sweep").mkdir()
    Path("sweep/best.yaml").write_text("train.optimizer.lr: 0.00123\n")
    job = prepared(monkeypatch, stage)
    assert (lookup(job.loaded.values, "train.optimizer.lr") == 0.00123) == uses
    assert ("lr=0.00123" in capsys.readouterr().out) == (stage == "train"), (
        "evaluate only shows them in MLflow"
    )


@pytest.mark.parametrize(("stage", "named"), [("ingest", {"folds", "epochs"}), ("split", {"folds"})])
def test_the_first_stage_names_all_that_differs_from_conf_and_others_their_own(
    clone, monkeypatch, capsys, stage, named
):
    PLACE.mkdir()
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("folds: 5", "folds: 3").replace("epochs: 40", "epochs: 30"))
    prepared(monkeypatch, stage)
    said = capsys.readouterr().out
    assert {key for key in ("folds", "epochs") if f".{key}" in said} == named
