"""A stage runs when its own inputs are here: a colleague needs no raw data to work on what follows."""

import json
import shutil

import pytest

from src.core.hashing import hash_tree
from src.provenance.journal import attempts


@pytest.fixture(scope="module")
def shared(finished, tmp_path_factory):
    """The finished pipeline, committed and pushed to a DVC remote on disk."""
    folder = tmp_path_factory.mktemp("shared")
    workspace = finished.copy(folder / "original")
    (workspace / ".dvc/config.local").unlink(missing_ok=True)
    workspace.run("dvc", "remote", "add", "--default", "disk", str(folder / "remote"))
    workspace.run("dvc", "push", "--quiet")
    workspace.run("git", "add", "--all")
    workspace.run("git", "commit", "--quiet", "--message", "Finished")
    return workspace


@pytest.fixture
def colleague(shared, tmp_path):
    """A fresh clone with the remote, and without the raw data."""
    clone = shared.clone(tmp_path / "colleague")
    shutil.rmtree(clone / "data/raw/digits", ignore_errors=True)
    return clone


def journal_of(workspace, stage):
    """What ran there, without what was imported from records."""
    records = [a.record for a in attempts(workspace.folder) if "record" not in a.record]
    (record,) = [record for record in records if record["stage"] == stage and record["status"] == "FINISHED"]
    return record


def test_one_stage_from_its_own_inputs(shared, colleague):
    colleague.run("dvc", "pull", "--quiet", "data/ingest", "data/split")
    colleague.run("dvc", "repro", "--single-item", "--force", "normalize")
    assert hash_tree(colleague / "data/normalize") == hash_tree(shared / "data/normalize")
    ours, theirs = journal_of(shared, "normalize"), journal_of(colleague, "normalize")
    assert (ours["lineage"], ours["parents"]) == (theirs["lineage"], theirs["parents"])


@pytest.mark.prove
def test_a_changed_setting_without_the_raw_data(colleague):
    colleague.run("dvc", "pull", "--quiet", "data/ingest", "data/split")
    colleague.compose("experiment=tiny", "normalize=minmax")
    output = colleague.run("dvc", "repro", "--allow-missing", "normalize").stdout
    assert "Running stage 'normalize'" in output
    assert json.loads((colleague / "data/normalize/normalization.json").read_text())["method"] == "minmax"


def test_nothing_runs_where_only_files_are_missing(colleague):
    assert "Running stage" not in colleague.run("dvc", "repro", "--allow-missing", "--dry", "evaluate").stdout


def test_what_is_missing_says_how_to_get_it(colleague):
    failed = colleague.run("python", "-m", "src.normalize", check=False)
    assert failed.returncode == 1
    assert "data/ingest is missing" in failed.stderr and "dvc pull data/ingest" in failed.stderr


def test_an_edited_input_is_refused_where_it_cannot_be_traced(colleague):
    colleague.run("dvc", "pull", "--quiet", "data/ingest", "data/split")
    report = colleague / "data/ingest/report.json"
    content = json.loads(report.read_text())
    report.unlink()  # may be a link into the cache
    report.write_text(json.dumps({**content, "kept": 1}))
    failed = colleague.run("python", "-m", "src.normalize", check=False)
    assert failed.returncode == 1
    assert "data/ingest is not what dvc.lock records" in failed.stderr
    assert "dvc checkout data/ingest" in failed.stderr


def test_a_git_worktree_and_a_folder_without_dvc_have_the_same_lineage(shared, colleague):
    colleague.run("dvc", "pull", "--quiet", "data/ingest", "data/split")
    shutil.rmtree(colleague / ".dvc")
    colleague.run("python", "-m", "src.normalize")
    assert journal_of(colleague, "normalize")["lineage"] == journal_of(shared, "normalize")["lineage"]
