"""Reports that came with git, so that no stage ran here that could have logged them to MLflow."""

import json
import shutil

import mlflow
import pytest

from src.auditing.verdict import Verdict
from src.provenance.journal import attempts
from tests.support.audits import Scene, check_of, findings

pytestmark = pytest.mark.prove

PICTURES = {
    "confusion.png",
    "curves.png",
    "mistakes.png",
    "pr.png",
    "reliability.png",
    "robustness.png",
    "roc.png",
}


@pytest.fixture
def imported(copy):
    """A repository after register in which nobody ever ran evaluate or compare, and nobody kept records."""
    shutil.rmtree(copy / "reports/records")
    for attempt in list(attempts(copy.folder)):
        if attempt.record["stage"] in ("evaluate", "compare"):
            shutil.rmtree(attempt.folder)
    copy.run("python", "-m", "src.track", "--rebuild")
    copy.run("dvc", "repro", "--force", "--single-item", "register")
    return copy


def test_the_runs_have_the_metrics_of_reports_that_git_brought(imported):
    client = mlflow.MlflowClient(f"sqlite:///{imported / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("digits").experiment_id
    runs = {
        run.data.tags.get("variant", run.data.tags["stage"]): run for run in client.search_runs(experiment)
    }
    base, variant = runs["train"], runs["structured_50_int8"]
    metrics = json.loads((imported / "reports/evaluate/metrics.json").read_text())
    accuracy = metrics["test"]["accuracy"]
    assert base.data.metrics["test/accuracy"] == accuracy["value"]
    assert base.data.metrics["test/accuracy/low"] == accuracy["low"]
    assert {"model/bytes", "model/macs"} <= base.data.metrics.keys()
    pictures = {file.path.split("/")[-1] for file in client.list_artifacts(base.info.run_id, "evaluate")}
    assert pictures == PICTURES
    assert {"test/accuracy", "val/accuracy/change"} <= variant.data.metrics.keys()
    assert "made elsewhere" in json.loads(base.data.tags["evaluate"])["adopted"]


def test_models_that_came_with_the_cache_are_registered_and_stand_an_audit(copy, tmp_path):
    """The journal of a colleague who pulled the outputs has no stage, and git has no records."""
    shutil.rmtree(copy / "reports/records")
    shutil.rmtree(copy / ".assay")
    shutil.rmtree(copy / "mlruns")
    for path in copy.folder.glob("mlflow.db*"):
        path.unlink()
    copy.run("dvc", "repro", "--force", "--single-item", "register")
    found = Scene(copy, tmp_path).audit("models:/assay-digits@champion")
    assert {f.verdict for check in found.checks for f in check.evidence.findings} <= {Verdict.INCOMPLETE}
    assert "Lineage: run of the base" in findings(found), "nobody here has trained it"
    assert check_of(found, "Parameters").status == "PASS", findings(found)


def test_what_the_journal_knows_is_not_imported_again(imported):
    def known():
        return {
            attempt.folder for attempt in attempts(imported.folder) if attempt.record["stage"] != "register"
        }

    before = known()
    imported.run("dvc", "repro", "--force", "--single-item", "register")
    assert known() == before
