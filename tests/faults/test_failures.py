"""A stage that fails says what, where and how to fix it, and nothing good is lost."""

import shutil
import socket
import subprocess

import pytest
from mlflow import MlflowClient

from src.core.hashing import hash_tree
from src.provenance.journal import attempts

DIVERGING = ("experiment=tiny", "sweep=none", "train.optimizer.lr=1e30", "train.precision=fp32")


def last_record(workspace, stage):
    records = [attempt.record for attempt in attempts(workspace.folder)]
    return max((r for r in records if r["stage"] == stage), key=lambda record: record["started"])


def test_the_last_good_result_comes_back_as_the_message_says(copy):
    before, lock = hash_tree(copy / "data/ingest"), (copy / "dvc.lock").read_bytes()
    (copy / "data/raw/digits/labels-idx1-ubyte.gz").write_bytes(b"no longer a gzip file")
    failed = copy.run("dvc", "repro", "ingest", check=False)
    assert failed.returncode != 0
    assert "labels-idx1-ubyte.gz" in failed.stderr
    assert "The last good result is kept: dvc checkout data/ingest" in failed.stderr
    assert not (copy / "data/ingest").exists()

    copy.run("dvc", "checkout", "data/ingest")
    assert hash_tree(copy / "data/ingest") == before
    assert (copy / "dvc.lock").read_bytes() == lock


def test_the_last_good_report_comes_back_from_git(copy):
    copy.run("git", "add", "--all")
    copy.run("git", "commit", "--quiet", "--message", "With its reports")
    before = hash_tree(copy / "reports/evaluate")
    copy.compose("experiment=tiny", "evaluate.mistakes=4")
    (copy / "models/base/model.json").write_text("{}")
    shutil.rmtree(copy / "reports/evaluate")  # as DVC does before it runs the stage
    failed = copy.run("python", "-m", "src.evaluate", check=False)
    assert failed.returncode == 1
    assert "models/base of stage train" in failed.stderr and "Traceback" not in failed.stderr
    assert "git checkout -- reports/evaluate" in failed.stderr
    copy.run("git", "checkout", "--", "reports/evaluate")
    assert hash_tree(copy / "reports/evaluate") == before


@pytest.mark.prove
def test_a_loss_that_is_no_number_stops_and_names_epoch_and_step(copy):
    """And the run has failed in MLflow too."""
    copy.run("python", "-m", "src.track", "--rebuild")
    copy.compose(*DIVERGING)
    failed = copy.run("dvc", "repro", "train", check=False)
    assert failed.returncode != 0
    for part in ("epoch 1", "step", "train.optimizer.lr", "dvc checkout models/base"):
        assert part in failed.stderr
    assert "Traceback" not in failed.stderr
    record = last_record(copy, "train")
    assert record["status"] == "FAILED" and "epoch 1" in record["reason"]
    client = MlflowClient(f"sqlite:///{copy / 'mlflow.db'}")
    runs = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    statuses = {(run.data.tags["stage"], run.info.status) for run in runs}
    assert ("train", "FAILED") in statuses and "RUNNING" not in {status for _, status in statuses}


def test_a_bad_value_is_refused_before_anything_is_touched(copy):
    params = (copy / "params.yaml").read_text()
    (copy / "params.yaml").write_text(params.replace("batch_size: 64", "batch_size: many"))
    failed = copy.run("python", "-m", "src.train", check=False)
    assert failed.returncode == 1
    assert "train.batch_size=many: expected an integer" in failed.stderr
    assert (copy / "models/base").exists()


@pytest.mark.prove  # tests/models/test_build.py shows the messages
@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model=timm", "model.name=resnet81"], "resnet81"),
        (["model.widths=[8,8,8,8,8,8]"], "data.image_size"),
    ],
    ids=["unknown timm model", "image too small"],
)
def test_a_model_that_cannot_be_made_is_refused_by_name(copy, overrides, message):
    failed = copy.run("python", "-m", "src.train", "experiment=tiny", *overrides, check=False)
    assert failed.returncode == 1
    assert message in failed.stderr and "Traceback" not in failed.stderr


@pytest.mark.prove
def test_a_full_disk_is_named_and_leaves_the_last_good_result(copy):
    small_disk = (
        "mkdir -p .assay/state/train && mount -t tmpfs -o size=64k none .assay/state/train && exec "
        "python -m src.train"
    )
    probe = subprocess.run(["unshare", "--mount", "--map-root-user", "true"], capture_output=True)
    if probe.returncode != 0:
        pytest.skip("a small disk needs mount namespaces, which this machine does not allow")
    copy.compose("experiment=tiny", "sweep=none", "model.widths=[32,64]")
    before = hash_tree(copy / "models/base")
    failed = copy.run("unshare", "--mount", "--map-root-user", "sh", "-c", small_disk, check=False)
    assert failed.returncode == 1
    assert "the disk is full" in failed.stderr and "python -m src.track --clean" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert hash_tree(copy / "models/base") == before
    assert last_record(copy, "train")["status"] == "FAILED"


def test_a_training_without_its_tracking_server_ends_well_and_warns_once(copy):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, but nobody listens
        server = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        before = hash_tree(copy / "models/base")
        done = copy.run("python", "-m", "src.train", MLFLOW_TRACKING_URI=server)
    assert (done.stdout + done.stderr).count("Nothing is lost") == 1
    assert hash_tree(copy / "models/base") == before
    assert last_record(copy, "train")["status"] == "FINISHED"
