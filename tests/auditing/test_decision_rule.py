"""The audit fits a decision rule again, to the answers that are stored."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from src.auditing.checks.metrics import _rule
from src.auditing.verdict import CheckLog, Verdict
from src.evaluation.fitted.decision import fit_rule
from src.evaluation.metrics.classification import softmax
from tests.support.scores import make_decision

CLASSES = ["a", "b", "c"]


@pytest.fixture
def table():
    """Logits of 60 images, half of them for testing."""
    random = np.random.default_rng(0)
    logits, targets = random.normal(size=(60, 3)).astype(np.float32), random.integers(0, 3, 60)
    logits[np.arange(60), targets] += 1
    split = np.where(np.arange(60) % 2, "val", "test")
    return {"split": split, "target": targets} | {f"logit_{k}": logits[:, k] for k in range(3)}


def audited(folder, table, settings, rule):
    """What the check notes about a variant whose model.json has this rule."""
    (folder / "model.json").write_text(json.dumps({"classes": CLASSES, "decision": rule}))
    parameters = {"evaluate.decision": settings.model_dump()}
    stage = SimpleNamespace(parameters=parameters)
    see = CheckLog()
    _rule(SimpleNamespace(lock={"compress@v": stage}, stage="compress@v", model_folder=folder), table, see)
    return see


def genuine(table, settings):
    val = table["split"] == "val"
    logits = np.stack([table[f"logit_{k}"] for k in range(3)], axis=1)[val]
    return fit_rule(settings, softmax(logits), table["target"][val], CLASSES, "val")


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        (make_decision("abstain", accuracy=0.7), "confidence"),
        (make_decision("abstain", confidence=0.7), "confidence"),
        (make_decision("conformal", coverage=0.8), "quantile"),
    ],
)
def test_another_threshold_than_the_answers_give_is_tampering(tmp_path, table, settings, field):
    rule = genuine(table, settings)
    assert not audited(tmp_path, table, settings, rule).findings
    forged = rule | {field: rule[field] + 0.001}
    (finding,) = audited(tmp_path, table, settings, forged).findings
    assert (finding.what, finding.verdict) == ("the decision rule", Verdict.TAMPERED)
    (finding,) = audited(tmp_path, table, settings, None).findings
    assert finding.verdict == Verdict.TAMPERED


def test_a_rule_that_was_not_asked_for_is_tampering(tmp_path, table):
    assert not audited(tmp_path, table, make_decision("argmax"), None).findings
    assert audited(
        tmp_path, table, make_decision("argmax"), {"method": "abstain", "confidence": 0.5}
    ).findings


def test_a_rule_from_images_whose_answers_are_not_stored_is_named(tmp_path, table):
    settings = make_decision("abstain", accuracy=0.7)
    rule = genuine(table, settings) | {"fitted_on": {"split": "calibration", "images": 9}}
    see = audited(tmp_path, table, settings, rule)
    assert not see.findings and "not fitted again" in see.notes[0]
