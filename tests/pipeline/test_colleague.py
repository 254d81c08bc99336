"""A colleague who has run git clone and dvc pull has the runs and the registry, and can audit them."""

import json
import subprocess
import sys

import numpy as np
import pytest

from src.provenance.dvc_yaml import read_pipeline
from src.provenance.journal import attempts
from src.records.execution import metadata
from src.records.files import FOLDER, read_records
from src.registry.decisions import decisions
from tests.support.audits import CHAMPION
from tests.support.journals import png

pytestmark = pytest.mark.prove

SHOW = """
import json, mlflow
client = mlflow.MlflowClient()
runs = client.search_runs([client.get_experiment_by_name("digits").experiment_id], max_results=500)
model = client.get_registered_model("assay-digits")
print(json.dumps({
    "runs": {run.info.run_name: [run.info.status, run.data.params, run.data.metrics] for run in runs},
    "history": model.tags["champion.history"],
    "aliases": {alias: str(version) for alias, version in model.aliases.items()},
    "versions": {str(v.version): [v.tags[key] for key in ("variant", "sha256", "record")] + [v.description]
                 for v in client.search_model_versions("name = 'assay-digits'")},
    "reasons": {str(v.version): v.tags.get("promotion.reason")
                for v in client.search_model_versions("name = 'assay-digits'")},
}))
"""


@pytest.fixture(scope="module")
def author(finished, tmp_path_factory):
    """The finished pipeline, committed and pushed to a DVC remote on disk."""
    folder = tmp_path_factory.mktemp("author")
    workspace = finished.copy(folder / "author")
    workspace.run("dvc", "remote", "add", "--default", "disk", str(folder / "remote"))
    workspace.run("dvc", "push", "--quiet")
    workspace.run("git", "add", "--all")
    workspace.run("git", "commit", "--quiet", "--message", "Finished")
    workspace.run("python", "-m", "src.track", "--rebuild")  # the copy of a store does not know its place
    return workspace


def pulled(author, folder):
    clone = author.clone(folder)
    clone.run("dvc", "pull", "--quiet")
    return clone


@pytest.fixture(scope="module")
def colleague(author, tmp_path_factory):
    """A clone after dvc pull and track. Look, but change nothing."""
    clone = pulled(author, tmp_path_factory.mktemp("colleague") / "clone")
    clone.said = clone.run("python", "-m", "src.track").stdout
    return clone


def shown(workspace):
    """What a bare MLflow client sees; curves of trials and folds stay with the machine that ran them."""
    code = [sys.executable, "-c", SHOW]
    answer = subprocess.run(code, cwd=workspace.folder, env=workspace.environment, capture_output=True)
    found = json.loads(answer.stdout)
    for name, (_, _, metrics) in found["runs"].items():
        if name.startswith(("trial-", "fold-")):
            for metric in [key for key in metrics if key.startswith("epoch/")]:
                del metrics[metric]
    return found


def test_a_bare_client_sees_what_the_author_sees(author, colleague):
    ours, theirs = shown(colleague), shown(author)
    assert ours["runs"].keys() == theirs["runs"].keys() and len(ours["runs"]) >= 5
    for name, (status, params, metrics) in ours["runs"].items():
        assert (status, params) == tuple(theirs["runs"][name][:2]), name
        assert metrics == pytest.approx(theirs["runs"][name][2], rel=1e-9), name
    for key in ("aliases", "history", "versions", "reasons"):
        assert ours[key] == theirs[key], key
    assert decisions(colleague.folder) == decisions(author.folder)


def test_every_published_execution_and_decision_has_its_record(author):
    records = read_records(author.folder)
    stages = [r.predicate["buildDefinition"]["externalParameters"]["stage"] for r in records.executions]
    assert sorted(stages) == sorted(read_pipeline(author.folder))
    assert len(records.decisions) == len(decisions(author.folder)) > 2
    by_name = {record.name for record in records.found}
    for record in records.executions:  # from register back to ingest
        named = [m["name"] for m in record.predicate["buildDefinition"]["resolvedDependencies"]]
        links = [name for name in named if name.startswith(f"{FOLDER}/")]
        stage = record.predicate["buildDefinition"]["externalParameters"]["stage"]
        assert links or stage == "ingest", stage
        assert {link.rpartition("/")[2] for link in links} <= by_name


def test_the_second_time_nothing_changes(colleague):
    assert "imported: " in colleague.said and "missing" not in colleague.said
    again = colleague.run("python", "-m", "src.track").stdout
    assert len(again.splitlines()) == 1 and "0 created, 0 refreshed" in again
    assert colleague.run("git", "status", "--porcelain").stdout == ""


def test_records_make_no_stage_run_again(colleague):
    assert "Running stage" not in colleague.run("dvc", "repro", "--dry").stdout


def test_the_champion_classifies_and_stands_an_audit(colleague, tmp_path):
    (tmp_path / "a.png").write_bytes(png(np.zeros((8, 8), np.uint8)))
    predicted = colleague.run("python", "-m", "src.predict", str(tmp_path / "a.png"))
    assert predicted.stdout.splitlines()[0] == "path,label,probability"
    assert predicted.stderr.splitlines()[-1].endswith(", imported from reports/records")
    audit = colleague.run("python", "-m", "src.audit", CHAMPION, "--no-write")
    assert "INTACT" in audit.stdout and "FAIL" not in audit.stdout
    assert audit.stdout.splitlines()[0].endswith(", imported from reports/records")
    assert "only imported into the journal of this machine, so no witness" in audit.stdout
    assert "this machine made it" not in audit.stdout
    assert "this machine ran" not in audit.stdout and "this machine made 0 of them" in audit.stdout


def test_the_colleague_makes_it_again_byte_for_byte(colleague):
    options = ("--rebuild", "--stages", "train,evaluate", "--no-write")
    assert "IDENTICAL" in colleague.run("python", "-m", "src.audit", CHAMPION, *options).stdout


def test_two_people_work_at_once_and_git_merges_it(author, tmp_path):
    one, other = pulled(author, tmp_path / "one"), pulled(author, tmp_path / "other")
    one.run("python", "-m", "src.track")
    before = shown(one)
    chosen, *_ = before["versions"].keys() - {before["aliases"]["champion"]}
    one.run("python", "-m", "src.register", "--promote", chosen, "--reason", "a person prefers it")
    other.run("dvc", "repro", "--force", "--single-item", "normalize")
    for workspace in (one, other):
        workspace.run("git", "add", "reports/records")
        workspace.run("git", "commit", "--quiet", "--message", "Mine")
    other.run("git", "pull", "--quiet", "--no-rebase", str(one.folder), "main")
    assert len(read_records(other.folder).found) == len(read_records(author.folder).found) + 2
    other.run("python", "-m", "src.track")
    assert shown(other)["aliases"]["champion"] == chosen
    assert shown(other)["reasons"][chosen] == "a person prefers it"


def test_a_tampered_record_is_refused_by_name_and_the_rest_is_shown(author, tmp_path):
    clone = author.clone(tmp_path / "clone")  # nothing was pulled
    (bad, *_) = (r for r in read_records(clone.folder).executions if r.extension["model"])
    path = clone / str(bad.path)
    path.write_text(path.read_text().replace('"user"', '"users"'))
    failed = clone.run("python", "-m", "src.track", check=False)
    assert failed.returncode == 1
    assert f"{bad.path}: its content has the hash" in failed.stderr
    assert "missing: files that records name" in failed.stdout and "dvc pull" in failed.stdout
    known = len(read_records(author.folder).executions)
    assert f"imported: {known - 1} executions" in failed.stdout


def test_an_experiment_in_a_temporary_folder_carries_its_records(author, tmp_path):
    clone = pulled(author, tmp_path / "clone")
    before = {record.name for record in read_records(clone.folder).found}
    # the result is the same, and the execution another one
    clone.run("dvc", "exp", "run", "--temp", "--name", "again", "--force", "--single-item", "normalize")
    assert {record.name for record in read_records(clone.folder).found} == before
    clone.run("dvc", "exp", "branch", "again", "experiment")  # `dvc exp apply` wants the other variants too
    clone.run("git", "merge", "--quiet", "experiment")
    (new,) = [r for r in read_records(clone.folder).executions if r.name not in before]
    assert new.predicate["buildDefinition"]["externalParameters"]["stage"] == "normalize"
    clone.run("python", "-m", "src.track")
    known = [a.record.get("record") for a in attempts(clone.folder, metadata(new)["invocationId"])]
    assert known.count(None) == 1 and new.name not in known, "what this machine has run is not imported"
