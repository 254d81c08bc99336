"""Made again in an empty folder: identical, equivalent or different, and broken off in between."""

import json
import os
import signal
import time

import psutil
import pytest
from mlflow import MlflowClient

from src.auditing.audit import RebuildOptions
from src.auditing.verdict import Verdict
from tests.support.audits import CHAMPION, Scene, check_of, findings
from tests.support.servers import Server

ONE_VARIANT = "~compress.variants.structured_50_int8"
ALL = {"ingest", "train", "evaluate", "compare", "cross_validate"}  # and more, by the record
# Different settings, as little work as possible each.
HONEST = [
    ("compress.tolerance=0.01", ONE_VARIANT),
    ("compress.agreement=0.7", ONE_VARIANT),
    ("seed=7", "sweep=none", ONE_VARIANT),
    ("model=lenet", "~model.widths", "sweep=none"),
    ("train.optimizer.name=sgd", "train.optimizer.lr=0.05", "sweep=none", ONE_VARIANT),
    ("train.ema_decay=0.0", "sweep=none", ONE_VARIANT),
    ("train.batch_size=128", ONE_VARIANT),
    ("augment.operations=[]", "sweep=none", ONE_VARIANT),
    ("normalize=minmax", "sweep=none", ONE_VARIANT),
    ("split.folds=3", "sweep=none", ONE_VARIANT),
    ("split.val=0.2", "split.test=0.3", "sweep=none", ONE_VARIANT),
    ("model.widths=[8,16,16]", "sweep=none", ONE_VARIANT),
    ("model.dropout=0.3", "train.epochs=3", "sweep=none", ONE_VARIANT),
    ("train.precision=fp32", "sweep=none", ONE_VARIANT),
    ("train.threads=auto", "train.precision=fp32", "sweep=none", ONE_VARIANT),
    ("cross_validate.repeats=2", "sweep=none", ONE_VARIANT),
    ("sweep=random", "sweep.trials=3", ONE_VARIANT),
    ("train.label_smoothing=0.0", "sweep=none", ONE_VARIANT),
    ("data.image_size=[12,12]", "sweep=none", ONE_VARIANT),
    ("train.schedule.name=cosine", "sweep=none"),
]


def scene_of(workspace, scratch):
    workspace.run("python", "-m", "src.track", "--rebuild")
    return Scene(workspace, scratch)


@pytest.fixture(scope="module")
def scene(finished, tmp_path_factory):
    workspace = finished.copy(tmp_path_factory.mktemp("audited") / "clone")
    return scene_of(workspace, tmp_path_factory.mktemp("scratch"))


def command(scene, *arguments, check=True, **environment):
    return scene.workspace.run("python", "-m", "src.audit", *arguments, check=check, **environment)


@pytest.mark.prove
@pytest.mark.parametrize("limit", [("--stages", "train,evaluate"), ()], ids=["two stages", "all of it"])
def test_it_comes_out_identical_also_after_a_kill(scene, tmp_path, limit):
    place, report = tmp_path / "again", tmp_path / "audit.json"
    options = ("--rebuild", *limit, "--in", str(place), "--json", str(report))
    call = ("python", "-m", "src.audit", CHAMPION, *options)
    process = scene.workspace.start(*call)
    deadline = time.monotonic() + 120
    while "Running stage 'train'" not in (log.read_text() if (log := place / "audit.log").is_file() else ""):
        assert process.poll() is None and time.monotonic() < deadline, "it never came to train"
        time.sleep(0.05)
    for child in psutil.Process(process.pid).children(recursive=True):
        child.kill()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    done = scene.workspace.run(*call)
    assert done.stdout.splitlines()[-1].startswith("IDENTICAL: ")
    told = json.loads(report.read_text())
    assert (told["verdict"], told["exit_code"]) == ("IDENTICAL", 0)
    assert all(stage["identical"] for stage in told["rebuild"]["stages"])
    names = [stage["name"] for stage in told["rebuild"]["stages"]]
    assert names == ["train", "evaluate"] if limit else set(names) >= ALL
    assert "didn't change, skipping" in (place / "audit.log").read_text(), "it went on"
    assert not (place / "mlflow.db").exists(), "the rebuild does not use MLflow"
    tags = dict(scene.ask("select key, value from model_version_tags where key like 'audit.%'"))
    assert tags["audit.verdict"] == "IDENTICAL"


@pytest.mark.prove
def test_other_instructions_make_it_equivalent(scene, tmp_path):
    """The same record, made with AVX2 where it was made with AVX-512: other bytes, the same numbers."""
    import torch

    if torch.backends.cpu.get_cpu_capability() != "AVX512":
        pytest.skip("this machine has no AVX-512 that could be left out")
    report = tmp_path / "audit.json"
    call = (CHAMPION, "--rebuild", "--no-write", "--json", str(report))
    command(scene, *call, ATEN_CPU_CAPABILITY="avx2")
    told = json.loads(report.read_text())
    assert told["verdict"] == "EQUIVALENT"
    assert not all(stage["identical"] for stage in told["rebuild"]["stages"])
    (rebuilt,) = [check for check in told["checks"] if check["name"] == "Rebuild"]
    assert any("cpu: AVX2 here, AVX512 recorded" in note for note in rebuilt["notes"])
    assert any("layers differ" in note for note in rebuilt["notes"])


def test_what_nobody_has_changed_comes_out_identical(scene, tmp_path):
    found = scene.audit(None, RebuildOptions(rebuild=True, folder=tmp_path / "again", stages=("split",)))
    assert found.verdict is Verdict.IDENTICAL
    assert [(stage.name, stage.differences) for stage in found.rebuilt.stages] == [("split", ())]


def test_what_comes_out_different_is_listed_from_the_first_stage_on(scene, tmp_path):
    """Another seed, although dvc.lock has the splits of the old one."""
    params = scene / "params.yaml"
    before = params.read_text()
    params.write_text(before.replace("\nseed: 0\n", "\nseed: 1\n"))
    try:
        found = scene.audit(None, RebuildOptions(rebuild=True, folder=tmp_path / "again", stages=("split",)))
    finally:
        params.write_text(before)
    assert found.verdict is Verdict.DIFFERENT
    (told,) = list(check_of(found, "Rebuild").evidence.findings)
    assert told.what == "data/split/splits.parquet" and "the columns split, fold differ" in told.found
    assert f"what came out lies in {tmp_path / 'again'}" in check_of(found, "Rebuild").evidence.notes
    assert (tmp_path / "again/data/split/splits.parquet").is_file()


def test_a_folder_that_holds_something_else_is_left_alone(scene, tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    found = scene.audit(CHAMPION, RebuildOptions(rebuild=True, folder=tmp_path))
    assert found.verdict is Verdict.INCOMPLETE
    assert "is not empty and holds no rebuild of this record" in findings(found)
    inside = scene.audit(CHAMPION, RebuildOptions(rebuild=True, folder=scene / "outputs/again"))
    assert "lies in the working tree" in findings(inside)


def remade(workspace, scratch, settings, stages=()):
    """The verdicts on a record of these settings, before and after it is made again."""
    workspace.compose("experiment=tiny", *settings)
    workspace.run("dvc", "repro", "register", *([] if stages else ["cross_validate"]))
    scene, wish = (
        scene_of(workspace, scratch),
        RebuildOptions(rebuild=True, folder=scratch / "again", stages=stages),
    )
    found = scene.audit(CHAMPION), scene.audit(CHAMPION, wish)
    made = {stage.name for stage in found[1].rebuilt.stages}
    assert stages or made >= ALL
    return [one.verdict for one in found], "\n".join(map(findings, found))


@pytest.mark.prove
def test_an_honest_record_is_intact_and_its_model_identical(copy, tmp_path):
    verdicts, said = remade(copy, tmp_path / "scratch", HONEST[0], stages=("train", "compress"))
    assert verdicts == [Verdict.INTACT, Verdict.IDENTICAL], said


@pytest.mark.prove
@pytest.mark.parametrize("settings", HONEST, ids=lambda settings: " ".join(settings[:2]))
def test_an_honest_record_is_intact_and_then_identical(copy, tmp_path, settings):
    """All of each record."""
    verdicts, said = remade(copy, tmp_path / "scratch", settings)
    assert verdicts == [Verdict.INTACT, Verdict.IDENTICAL], said


@pytest.mark.prove
def test_one_thread_in_place_of_two_is_equivalent(copy, tmp_path):
    settings = ("train.threads=auto", "train.precision=fp32", "sweep=none")
    copy.compose("experiment=tiny", *settings)
    copy.run("dvc", "repro")
    scene = scene_of(copy, tmp_path / "scratch")
    found = scene.audit(CHAMPION, RebuildOptions(rebuild=True, threads=1))
    assert found.verdict is Verdict.EQUIVALENT, findings(found)
    assert any("threads: 1 here" in note for note in check_of(found, "Rebuild").evidence.notes)


@pytest.mark.prove
def test_a_version_on_a_server_is_audited_there(copy, tmp_path):
    """The journal brings to a team's server what was registered on the embedded store."""
    server, report = Server(tmp_path), tmp_path / "audit.json"
    at = {"MLFLOW_TRACKING_URI": server.address}
    try:
        assert "View run" not in copy.run("python", "-m", "src.track", **at).stdout
        target = "models:/assay-digits@challenger"  # a server's champion is for people to choose
        call = ("python", "-m", "src.audit", target, "--rebuild", "--stages", "train", "--json", str(report))
        told = copy.run(*call, **at).stdout
        tags = MlflowClient(server.address).get_model_version_by_alias("assay-digits", "challenger").tags
    finally:
        server.kill()
    assert told.splitlines()[-1].startswith("IDENTICAL: ")
    assert json.loads(report.read_text())["verdict"] == tags["audit.verdict"] == "IDENTICAL"
