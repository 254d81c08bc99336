"""A variant's parameters are its own settings, so that Compare shows what differs."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from src.auditing.checks import parameters
from src.auditing.verdict import CheckLog, Verdict
from src.tracking.run_tags import parameter_text, parameters_of, variant_parameters
from src.tracking.sync import synchronize
from tests.support.journals import begin, finish, lineage_of, trained
from tests.tracking.test_sync import runs

STEPS = [
    {"name": "finetune", "epochs": 2, "lr": 0.1},
    {"name": "distill", "student": {"width": 8, "depth": 2}, "alpha": 0.9},
    {"name": "finetune", "epochs": 3, "lr": 0.01},
    {"name": "export"},
]
PARAMS = {
    "train.epochs": 30,
    "compress.agreement": 0.95,
    "compress.variants.small.steps": STEPS,
    "compress.variants.other.steps": [],
}


def test_steps_become_flat_parameters() -> None:
    assert variant_parameters("small", PARAMS) == {
        "steps": "finetune > distill > finetune > export",
        "finetune.epochs": 2,
        "finetune.lr": 0.1,
        "distill.student.width": 8,
        "distill.student.depth": 2,
        "distill.alpha": 0.9,
        "finetune_2.epochs": 3,
        "finetune_2.lr": 0.01,
        "compress.agreement": 0.95,
    }


def test_every_other_stage_shows_all_that_it_read() -> None:
    assert parameters_of({"variant": None, "params": PARAMS}) == PARAMS


def test_mlflow_keeps_the_beginning_of_a_long_parameter(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where its own cutting is switched off, and an audit compares what it keeps."""
    monkeypatch.setenv("MLFLOW_TRUNCATE_LONG_VALUES", "false")
    long = "".join(f"{number:05d}" for number in range(2_000))
    finish(begin(root, "train", "one", params={"augment.operations": long}))
    synchronize(root)
    (run,) = runs(root, "one")
    assert run.data.params["augment.operations"] == long[:6_000] == parameter_text(long)


def audited(kept: str, told: str) -> CheckLog:
    """The comparison of a run's parameter with the record's."""
    subject = SimpleNamespace(folder=Path("nowhere"), params={"seed": 0, "augment": {"operations": told}})
    subject.graph = SimpleNamespace(parameters_of=lambda *_: {"augment.operations": told})
    run = SimpleNamespace(name="one", params={"augment.operations": kept}, tags={"seed": "0"})
    seen = CheckLog()
    parameters._mlflow(subject, run, "train", seen)
    return seen


def test_an_audit_does_not_take_a_cut_parameter_for_a_change() -> None:
    long = "0123456789" * 900
    seen = audited(long[:6_000], long)
    assert not seen.findings
    assert seen.notes == ["MLflow keeps 6,000 characters of augment.operations; dvc.lock has all"]
    for kept in (long[:5_999], "x" + long[1:6_000]):
        assert [finding.verdict for finding in audited(kept, long).findings] == [Verdict.TAMPERED]


def test_mlflow_shows_them(root: Path) -> None:
    trained(root)
    parents = {"train": lineage_of("one")}
    finish(begin(root, "compress", "small", parents=parents, variant="small", params=PARAMS))
    synchronize(root)
    (run,) = runs(root, "small")
    assert run.data.params["steps"] == "finetune > distill > finetune > export"
    assert run.data.params["finetune_2.lr"] == "0.01"
    assert "train.epochs" not in run.data.params
