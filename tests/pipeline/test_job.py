"""What a stage says around its work."""

import subprocess

import pytest
import yaml

from src.core.errors import AssayError
from src.pipeline.job import refuse_edited, restore_hint
from src.provenance.dvc_lock import Cache, folder_md5s, listing_md5, read_lock
from src.provenance.lineage import LineageGraph
from src.provenance.work_dir import WorkDir


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """Two stages with recorded results that DVC has removed: one is in its cache, one in git."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    outs = {"train": "models/base", "evaluate": {"reports/evaluate": {"cache": False}}}
    stages = {name: {"cmd": f"python -m src.{name}", "outs": [out]} for name, out in outs.items()}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    for folder in ("models/base", "reports/evaluate"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "file").write_text(folder)
    git("init", "--quiet")
    git("add", "dvc.yaml", "reports")
    git("commit", "--quiet", "--message", "Results")
    _fill_cache(tmp_path, "models/base")
    locked = {
        name: {"cmd": f"python -m src.{name}", "outs": [{"path": path, "md5": _md5(tmp_path / path)}]}
        for name, path in (("train", "models/base"), ("evaluate", "reports/evaluate"))
    }
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": locked}))
    for folder in ("models/base", "reports/evaluate"):
        (tmp_path / folder / "file").unlink()
        (tmp_path / folder).rmdir()
    return tmp_path


def git(*command):
    user = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
    subprocess.run(["git", *user, *command], check=True)


def _md5(folder):
    return listing_md5(folder_md5s(folder))


def _fill_cache(root, path):
    import json

    cache, files = Cache(root), folder_md5s(root / path)
    listing = [{"md5": md5, "relpath": name} for name, md5 in files.items()]
    for md5, text in [(_md5(root / path), json.dumps(listing)), *((md5, path) for md5 in files.values())]:
        cache.object(md5).parent.mkdir(parents=True, exist_ok=True)
        cache.object(md5).write_text(text)


def restore(folder):
    (folder / "models/base").mkdir(parents=True, exist_ok=True)
    (folder / "models/base/file").write_text("models/base")


def test_an_edited_result_is_refused(repository):
    restore(repository)
    graph = LineageGraph(repository, {}, read_lock(repository / "dvc.lock"))
    parents = {name: graph.of_result(name) for name in ("train", "evaluate")}
    refuse_edited(graph, parents)  # an absent one is not an edited one
    (repository / "models/base/file").write_text("edited")
    graph = LineageGraph(repository, {}, read_lock(repository / "dvc.lock"))
    assert {name: graph.of_result(name) for name in ("train", "evaluate")} == parents  # it looks genuine
    with pytest.raises(AssayError, match=r"changed.*:\n  models/base of stage train\n.*--single-item train"):
        refuse_edited(graph, parents)


def test_what_a_stage_has_made_without_dvc_is_not_edited(repository):
    restore(repository)
    lock = read_lock(repository / "dvc.lock")
    parents = {"train": LineageGraph(repository, {}, lock).of_result("train")}
    state = WorkDir(repository, "train", parents["train"])
    (state.fresh_build() / "file").write_text("made on another machine")
    state.finish()
    state.publish(repository / "models/base")
    refuse_edited(LineageGraph(repository, {}, lock), parents)
    (repository / "models/base/file").write_text("edited")
    with pytest.raises(AssayError, match="models/base of stage train"):
        refuse_edited(LineageGraph(repository, {}, lock), parents)


def test_the_last_good_result_is_offered_where_it_is(repository):
    assert restore_hint("train", None).endswith("dvc checkout models/base")
    assert restore_hint("evaluate", None).endswith("git checkout -- reports/evaluate")


def test_nothing_is_offered_where_there_is_nothing(repository):
    (lost,) = [path for path in Cache(repository).folder.glob("*/*") if not path.name.endswith(".dir")]
    lost.unlink()
    assert restore_hint("train", None) == ""  # only a part of it is in the cache
    git("rm", "-r", "--quiet", "--cached", "reports")
    git("commit", "--quiet", "--message", "Without results")
    assert restore_hint("evaluate", None) == ""
    assert restore_hint("train", "unknown") == ""
    (listing,) = Cache(repository).folder.glob("*/*.dir")
    listing.write_text("damaged")
    assert restore_hint("train", None) == ""
    (repository / "dvc.lock").write_text("damaged: [")
    assert restore_hint("train", None) == ""
