"""Variants as real processes: killed and repeated, and such as cannot be made."""

import csv
import json
import os
import random
import signal
import time

import pytest
from PIL import Image

from src.core.hashing import hash_tree
from tests.support.workspaces import Workspace

EPOCHS = 8
EXPORT = "{name:export}"
DISTILL = f"{{name:distill,student:null,epochs:{EPOCHS},lr:0.002,temperature:2.0,alpha:0.5}}"
PRUNE = "{name:prune_structured,ratio:0.5,criterion:magnitude,iterations:1}"
QUANTIZE = "{name:quantize_static,images:64,calibration:minmax,per_channel:true}"
VARIANT = "structured_50_int8"
VARIANTS = ("onnx_fp32", VARIANT)
SETTINGS = ("experiment=tiny", f"compress.variants.{VARIANT}.steps=[{PRUNE},{DISTILL},{EXPORT},{QUANTIZE}]")
COMMAND = ("python", "-m", "src.compress", VARIANT)


@pytest.fixture(scope="module")
def unbroken(finished, tmp_path_factory):
    """The variant that nobody disturbed: hashes of its files."""
    workspace = finished.copy(tmp_path_factory.mktemp("unbroken") / "copy")
    workspace.compose(*SETTINGS)
    workspace.run(*COMMAND)
    return hash_tree(workspace / f"models/{VARIANT}")


def checkpoints(workspace: Workspace) -> list[float]:
    """When each checkpoint of the variant was written last."""
    return [
        path.stat().st_mtime for path in (workspace / ".assay/state").glob("compress*/*/step-1/last.ckpt")
    ]


@pytest.mark.prove
def test_a_variant_killed_at_random_moments_ends_with_the_same_bytes(copy, unbroken):
    """Three kills of the whole process group, the second and third while it distils."""
    copy.compose(*SETTINGS)
    moments = random.Random(4)
    for kill in range(3):
        process, seen = copy.start(*COMMAND), checkpoints(copy)
        while kill and process.poll() is None and checkpoints(copy) == seen:
            time.sleep(0.005)
        time.sleep(moments.uniform(0, 0.05) if kill else moments.uniform(0, 4))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert checkpoints(copy), "it was at work"
    copy.run(*COMMAND)
    assert hash_tree(copy / f"models/{VARIANT}") == unbroken


@pytest.mark.prove
def test_what_another_variant_has_trained_is_not_trained_again(copy, unbroken):
    begun = f"+compress.variants.structured_50={{steps:[{PRUNE},{DISTILL},{EXPORT}]}}"
    copy.compose(*SETTINGS, begun)
    copy.run("python", "-m", "src.compress", "structured_50")
    told = copy.run(*COMMAND).stdout
    assert "step 2, distill, continues the training of structured_50" in told
    assert hash_tree(copy / f"models/{VARIANT}") == unbroken


@pytest.mark.prove
def test_another_decision_rule_trains_nothing_again_and_ships_with_the_model(copy):
    """From dvc.lock to the answers of the registered model; the weights stay as they were."""
    rule = ("evaluate.decision.method=conformal", "evaluate.decision.coverage=0.8")
    before = (copy / f"models/{VARIANT}/model.onnx").read_bytes()
    copy.compose("experiment=tiny", *rule)
    told = copy.run("dvc", "repro", "register").stdout
    assert f"step 2, distill, continues the training of {VARIANT} with another decision rule" in told
    assert "python -m src.train" not in told
    assert (copy / f"models/{VARIANT}/model.onnx").read_bytes() == before

    rules = [json.loads((copy / f"models/{name}/model.json").read_text())["decision"] for name in VARIANTS]
    for found in rules:
        assert found["stated"] == {"coverage": 0.8}
        assert found["fitted_on"] == {"split": "val", "images": 270}
    assert rules[0]["quantile"] != rules[1]["quantile"], "each variant has its own"
    report = json.loads((copy / "reports/register/decision.json").read_text())
    assert "the decision rule" in report["images"]["val"]["decided"]
    test = json.loads((copy / "reports/evaluate/decision.json").read_text())["test"]
    assert test["coverage"]["low"] < 0.8 < test["coverage"]["high"] + 0.05

    from sklearn.datasets import load_digits

    pixels = (load_digits().images[0] * 255 / 16).astype("uint8")
    Image.fromarray(pixels).save(copy / "zero.png")
    copy.run("python", "-m", "src.track", "--rebuild")  # the database came from another folder
    model = ("--model", "models:/assay-digits/1")
    done = copy.run("python", "-m", "src.predict", "zero.png", *model)
    assert done.stdout.startswith("path,label,probability\n"), "the version before has no rule"
    done = copy.run("python", "-m", "src.predict", "zero.png", "--model", "models:/assay-digits/3")
    (row,) = csv.DictReader(done.stdout.splitlines())
    assert isinstance(json.loads(row["answer"]), list)
    assert "a set of classes, which contains the true one of 0.8 of the images" in done.stderr
    audited = copy.run("python", "-m", "src.audit", "models:/assay-digits/3").stdout
    assert "the decision rule follows from the answers" in audited and "INTACT" in audited


@pytest.mark.prove
def test_a_method_that_cannot_do_the_model_is_a_result_with_its_reason(copy):
    """The stage ends well, the variant has no model, and the leaderboard says why."""
    student = DISTILL.replace("student:null", "student:{width:[4]}")
    copy.run(
        *("python", "-m", "src.compose", "experiment=tiny"),
        f"+compress.variants.misfit={{steps:[{student},{EXPORT}]}}",
    )
    copy.run("dvc", "repro", "compare")
    variant = json.loads((copy / "models/misfit/variant.json").read_text())
    assert list(variant) == ["status", "reason", "steps"]
    assert variant["status"] == "failed"
    assert "width: Extra inputs are not permitted" in variant["reason"]
    assert not (copy / "models/misfit/model.onnx").exists()
    assert variant["reason"] in (copy / "reports/compare/variants.md").read_text()


def test_changing_one_variant_reruns_that_one(copy):
    copy.compose(*SETTINGS)
    plan = copy.run("dvc", "repro", "--dry").stdout
    ran = [line for line in plan.splitlines() if line.startswith("> ")]
    assert ran[0] == f"> python -m src.compress {VARIANT}"
    assert not [line for line in ran if "onnx_fp32" in line]
