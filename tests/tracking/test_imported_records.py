"""MLflow shows the executions of others as it shows its own, by their records and the tracked files."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from src.core.errors import AssayError
from src.provenance.dvc_lock import Cache, file_md5
from src.provenance.journal import attempts
from src.records.files import FOLDER
from src.tracking.imported_records import import_executions
from src.tracking.mlflow_store import connect
from src.tracking.sync import synchronize
from tests.support.journals import begin_search, child_lineage, count, lineage_of, tried
from tests.support.records import compress, evaluate, names, publish, rewrite, train
from tests.support.remotes import configure_remote

OWN = {"assay.state", "assay.attempts", "mlflow.parentRunId", "model.id", "mlflow.log-model.history"}


def shown(root: Path) -> dict[str, Any]:
    """What MLflow shows of each run, without ids and times of its own."""
    client = connect(root).client
    experiment = client.get_experiment_by_name("shapes").experiment_id
    runs = client.search_runs([experiment])
    names_of = {run.info.run_id: run.info.run_name for run in runs}
    return {
        run.info.run_name: {
            "status": (run.info.status, run.info.start_time, run.info.end_time, run.info.user_id),
            "params": run.data.params,
            "metrics": {key: round(value, 9) for key, value in run.data.metrics.items()},
            "tags": {
                key: _without_attempt(tag) for key, tag in run.data.tags.items() if key not in OWN
            },
            "parent": names_of.get(run.data.tags.get("mlflow.parentRunId")),
            "curve": [
                (point.step, round(point.value, 9))
                for point in client.get_metric_history(run.info.run_id, "epoch/val/accuracy")
            ],
            "files": sorted(
                file.path
                for folder in ("evaluate", "model")
                for file in client.list_artifacts(run.info.run_id, folder)
            ),
            "served": len(run.outputs.model_outputs) if run.outputs else 0,
        }
        for run in runs
    }  # fmt: skip


def _without_attempt(tag: str) -> str:
    """A tag of an attachment names the attempt that made it, by a key of the machine."""
    try:
        content = json.loads(tag)
    except ValueError:
        return tag
    return {k: v for k, v in content.items() if k != "attempt"} if isinstance(content, dict) else tag


def copy_tracked(source: Path, target: Path) -> None:
    """What git and DVC bring: records and outputs, no journal and no database."""
    for name in ("models", "reports"):
        if (source / name).exists():
            shutil.copytree(source / name, target / name, dirs_exist_ok=True)


def test_a_colleague_sees_what_the_author_sees(root: Path, mate: Path) -> None:
    train(mate, mate)
    compress(mate, mate)
    evaluate(mate, mate)
    synchronize(mate)
    copy_tracked(mate, root)
    done = import_executions(root, root)
    assert (len(done.imported), done.missing, done.refused) == (3, set(), [])
    assert count(synchronize(root), "created") == 2
    assert shown(root) == shown(mate)
    assert shown(root)[f"train-{lineage_of('one')[:8]}"]["curve"] == [(0, 0.0), (1, 0.1), (2, 0.2)]


def test_nothing_is_imported_twice(root: Path, mate: Path) -> None:
    train(mate, mate)
    copy_tracked(mate, root)
    assert len(import_executions(root, root).imported) == 1
    assert import_executions(root, root).imported == []
    assert import_executions(root, root).lines(root) == []
    assert count(synchronize(root), "created") == 1
    assert count(synchronize(root), "unchanged") == 1


def test_what_ran_here_is_not_imported(root: Path) -> None:
    train(root, root)
    assert import_executions(root, root).imported == []
    assert len(list(attempts(root))) == 1


def test_the_trials_of_a_search_are_below_its_run(root: Path, mate: Path) -> None:
    attempt = begin_search(mate)
    for number, state in enumerate(("complete", "failed")):
        tried(mate, number, state)
    (mate / "sweep").mkdir()
    (mate / "sweep/best.yaml").write_text("{}")
    attempt.update(tags={"best.lineage": child_lineage("sweep", 0)})
    publish(mate, mate, attempt, "sweep")
    copy_tracked(mate, root)
    shutil.copytree(mate / "sweep", root / "sweep")
    import_executions(root, root)
    for repository in (root, mate):
        synchronize(repository)
    ours, theirs = shown(root), shown(mate)
    assert ours.keys() == theirs.keys() == {attempt.record["name"], "trial-000", "trial-001"}
    for name, run in ours.items():
        run.pop("curve"), theirs[name].pop("curve")  # a record keeps no curves of trials
        assert {k: v for k, v in theirs[name].pop("metrics").items() if "epoch/" not in k} == run.pop(
            "metrics"
        )
        assert run == theirs[name]
    assert ours["trial-000"]["tags"]["best"] == "true"
    assert ours["trial-001"]["status"][0] == "FAILED"


def test_branches_merge_without_a_person(root: Path, mate: Path, tmp_path: Path) -> None:
    """Two people work on the same thing, and git merges what they made."""
    other = tmp_path / "other"
    train(mate, mate)
    for repository in (mate, other):
        subprocess.run(["git", "init", "-q", "-b", "main", repository], check=True)
    git = ["git", "-c", "user.name=T", "-c", "user.email=t@example.org"]

    def commit(repository: Path) -> None:
        subprocess.run([*git, "add", "reports"], cwd=repository, check=True)
        subprocess.run([*git, "commit", "-qm", "Results"], cwd=repository, check=True)

    commit(mate)
    subprocess.run([*git, "pull", "-q", str(mate), "main"], cwd=other, check=True)
    evaluate(mate, mate)
    commit(mate)
    train(other, other, "two", b"other weights")
    commit(other)
    subprocess.run([*git, "pull", "-q", "--no-rebase", str(mate), "main"], cwd=other, check=True)
    assert names(other) >= names(mate) and len(names(other)) == 3
    shutil.copytree(other / FOLDER, root / FOLDER)
    assert len(import_executions(root, root).imported) == 3


def test_what_is_missing_is_named_and_comes_with_the_next_import(root: Path, mate: Path) -> None:
    train(mate, mate)
    shutil.copytree(mate / FOLDER, root / FOLDER)
    done = import_executions(root, root)
    assert done.missing == {f"models/base/{n}" for n in ("history.csv", "model.json", "model.safetensors")}
    assert done.lines(root)[0] == "imported: 1 execution from reports/records"
    assert "models/base/history.csv" in done.lines(root)[1]
    assert done.lines(root)[1].endswith("present pipeline: dvc repro; then python -m src.track")
    configure_remote(mate)
    fetch = "Fetch them: dvc pull, for older results dvc fetch --all-commits; then python -m src.track"
    assert done.lines(mate)[1].endswith(fetch)
    synchronize(root)
    (before,) = shown(root).values()
    assert (before["curve"], before["files"], before["metrics"]) == ([], [], {"val/accuracy": 0.2})
    copy_tracked(mate, root)
    assert import_executions(root, root).missing == set()
    synchronize(root)
    synchronize(mate)
    assert shown(root) == shown(mate)
    assert len(list(attempts(root))) == 1


def test_an_equal_result_of_ones_own_lends_its_files_to_an_imported_one(root: Path, mate: Path) -> None:
    """A fresh clone in which nothing was pulled, and the pipeline runs."""
    train(mate, mate)
    shutil.copytree(mate / FOLDER, root / FOLDER)
    import_executions(root, root)
    train(root, root)
    synchronize(root)
    (run,) = shown(root).values()
    assert run["files"] == ["model/model.json", "model/model.safetensors"]
    assert run["curve"] == [(0, 0.0), (1, 0.1), (2, 0.2)]


def test_files_come_from_dvcs_cache_and_from_git(root: Path, mate: Path) -> None:
    """The working folder has moved on."""
    train(mate, mate)
    evaluate(mate, mate)
    copy_tracked(mate, root)
    subprocess.run(["git", "init", "-q", root], check=True)
    subprocess.run(["git", "add", "reports"], cwd=root, check=True)
    (root / "reports/evaluate/confusion.png").write_bytes(b"a later figure")
    for name in ("model.safetensors", "model.json", "history.csv"):
        source = root / "models/base" / name
        kept = Cache(root).object(file_md5(source))
        kept.parent.mkdir(parents=True, exist_ok=True)
        source.rename(kept)
    assert import_executions(root, root).missing == set()
    synchronize(root)
    synchronize(mate)
    assert shown(root) == shown(mate)


def test_an_incomplete_record_is_refused_by_name_and_leaves_nothing(root: Path, mate: Path) -> None:
    bad = rewrite(mate, train(mate, mate), {"predicate/assay_record/children": [{"lineage": "0" * 64}]})
    copy_tracked(mate, root)
    (reason,) = import_executions(root, root).refused
    assert bad.name in reason and "it is not a record of Assay" in reason
    assert list(attempts(root)) == []


@pytest.mark.parametrize("place", ["the working folder", "DVC's cache", "git"])
def test_a_record_that_contradicts_the_bytes_is_refused_by_name(root: Path, mate: Path, place: str) -> None:
    good, record = train(mate, mate, "good", b"good"), train(mate, mate)
    digest = dict(record.subjects["models/base/model.safetensors"])
    at = sorted(record.subjects).index("models/base/model.safetensors")
    kept = {"the working folder": "md5", "DVC's cache": "md5", "git": "gitBlob"}[place]
    forged = {"sha256": "0" * 64, kept: digest[kept]}
    bad = rewrite(mate, record, {f"subject/{at}/digest": forged})
    copy_tracked(mate, root)
    if place != "the working folder":
        path = root / "models/base/model.safetensors"
        subprocess.run(["git", "init", "-q", root], check=True)
        subprocess.run(["git", "add", "models"], cwd=root, check=True)
        Cache(root).object(digest["md5"]).parent.mkdir(parents=True)
        path.rename(Cache(root).object(digest["md5"]))
    done = import_executions(root, root)
    (reason,) = done.refused
    assert bad.name in reason and "models/base/model.safetensors" in reason
    with pytest.raises(AssayError, match="1 record was refused"):
        done.demand_all(root)
    assert [attempt.record["record"] for attempt in attempts(root)] == [good.name]
