"""What one execution of a stage publishes, keeps and records, around the work itself; without DVC."""

import subprocess
import sys
from pathlib import Path

import pytest

from src.auditing.checks import data
from src.auditing.target import AuditTarget
from src.auditing.verdict import CheckLog, Verdict
from src.config.dotted_keys import lookup
from src.config.loading import compose_text, read_params
from src.core.errors import AssayError
from src.core.hashing import hash_tree
from src.pipeline import execution
from src.pipeline.execution import StageRun
from src.pipeline.job import Job, find_job, parse_arguments, prepare, read_graph, refuse_edited
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


@pytest.mark.parametrize(
    ("params", "overrides", "said"),
    [
        (
            ["experiment=digits_32"],
            ["train.epochs=2"],
            "params.yaml is not what conf/ composes to by default, from which an ad-hoc run starts: they "
            "differ in data.image_size, which earlier stages than train read\n"
            "It fits experiment=digits_32: add that to this command",
        ),
        (
            ["split.folds=10"],
            ["train.epochs=2"],
            "they differ in split.folds, which earlier stages than train read\n"
            "Add to this command what params.yaml was composed with",
        ),
        (
            ["split.folds=10"],
            ["train.epochs=2", "split.folds=4"],
            "dvc exp run -S train.epochs=2 -S split.folds=4",
        ),
        ([], ["data=fashion_mnist"], "data.image_size, data.name: an earlier stage than train reads this"),
        ([], ["data=fashion_mnist"], "dvc exp run -S data=fashion_mnist"),
        ([], ["split.folds=4"], "split.folds: an earlier stage than train reads this"),
        (["experiment=digits_32"], ["train.epochs=2", "experiment=digits_32"], None),
        (["train.epochs=7"], ["train.epochs=2"], None),
    ],
)
def test_an_ad_hoc_run_that_does_not_fit_the_results_is_told_why(clone, monkeypatch, params, overrides, said):
    for folder in (PLACE, Path("sweep")):
        folder.mkdir()
    Path("sweep/best.yaml").touch()
    Path("params.yaml").write_text(compose_text(params))
    monkeypatch.setattr(sys, "argv", ["src.train", *overrides])
    arguments = parse_arguments("train", None, None)
    if said is None:
        assert find_job(arguments, "train").loaded.is_ad_hoc
        return
    with pytest.raises(AssayError) as caught:
        find_job(arguments, "train")
    assert said in str(caught.value)


def test_an_experiment_that_does_not_suit_the_overrides_is_not_the_one_to_add(clone, monkeypatch):
    for folder in (PLACE, Path("sweep")):
        folder.mkdir()
    Path("sweep/best.yaml").touch()
    Path("conf/experiment/other.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /model: vit_tiny\n"
    )
    Path("params.yaml").write_text(compose_text(["data.image_size=[12,12]"]))
    monkeypatch.setattr(sys, "argv", ["src.train", "model.widths=[8,16]"])
    with pytest.raises(AssayError, match=r"params\.yaml is not what conf/ composes to by default"):
        find_job(parse_arguments("train", None, None), "train")


def test_a_result_made_without_dvc_is_not_edited_after_an_ad_hoc_run_of_its_stage(clone, monkeypatch):
    """DVC has recorded other bytes; only the state of the stage tells that it has made these itself."""
    job, _ = ingest(monkeypatch, "by the stage itself")
    ingest(monkeypatch, "ad hoc", "data.image_size=[4,4]")
    graph = read_graph(read_params())
    assert graph.unrecorded("ingest") == [str(PLACE)]
    refuse_edited(graph, {"ingest": job.lineage.id})
    with pytest.raises(AssayError, match=r"ingest \(made here without DVC, with other code, settings or"):
        refuse_edited(graph, {"ingest": "0" * 64})
    (clone / PLACE / "text").write_text("edited")
    with pytest.raises(AssayError, match=r"changed after they were made.*\n  data/ingest of stage ingest\n"):
        refuse_edited(graph, {"ingest": job.lineage.id})


def audited(clone: Path) -> dict[str, Verdict]:
    """What an audit of the workspace says of the outputs of its stages."""
    see = CheckLog()
    data._outputs(AuditTarget("the workspace", clone, clone, stage="train", is_workspace=True), see)
    return {finding.what: finding.verdict for finding in see.findings}


def test_an_audit_tells_a_result_made_without_dvc_from_one_that_was_changed(clone, monkeypatch):
    ingest(monkeypatch, "older")
    older = clone / PLACE / "text"
    ingest(monkeypatch, "ad hoc", "data.image_size=[4,4]")
    assert audited(clone)[str(PLACE)] == Verdict.DIFFERENT
    edit = (clone / "params.yaml").read_text().replace("- 8\n", "- 16\n")
    (clone / "params.yaml").write_text(edit)
    ingest(monkeypatch, "newer")
    assert audited(clone)[str(PLACE)] == Verdict.DIFFERENT
    older.write_text("older")  # what a stage made some time ago is not what it made last
    assert audited(clone)[str(PLACE)] == Verdict.TAMPERED
    older.write_text("edited")
    assert audited(clone)[str(PLACE)] == Verdict.TAMPERED
