"""A training that diverges fails by name, and the last good model can be brought back."""

import json

import pytest

from src.provenance.hashes import tree_hashes

pytestmark = pytest.mark.xdist_group("pipeline")


def test_loss_that_is_no_number_fails_the_stage(copy):
    good = tree_hashes(copy / "models/base")
    copy.run(
        "python",
        "-m",
        "src.compose",
        "experiment=tiny",
        "train.optimizer.name=sgd",
        "train.optimizer.lr=1e30",
    )
    failed = copy.run("dvc", "repro", "train", check=False)
    assert failed.returncode != 0
    assert "training diverged in epoch 1" in failed.stderr
    assert "Lower train.optimizer.lr=1e+30" in failed.stderr
    assert "dvc checkout models/base" in failed.stderr
    journals = sorted((copy / "mlruns/journal").glob("*/*/run.json"), key=lambda path: path.stat().st_mtime)
    record = json.loads(journals[-1].read_text())
    assert (record["stage"], record["status"]) == ("train", "FAILED")
    assert "diverged in epoch 1" in record["reason"]
    copy.run("dvc", "checkout", "models/base")
    assert tree_hashes(copy / "models/base") == good
