"""The audit fits a decision rule again, to the answers that are stored, and says again what it does."""

import json
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import yaml
from pyarrow import parquet

from src.auditing.checks.metrics import _base, _rule
from src.auditing.decision_report import REPORT, check_decision
from src.auditing.target import AuditTarget
from src.auditing.verdict import CheckLog, Verdict
from src.data.dataset.spec import DataSpec, with_spec
from src.evaluation.fitted.decision import fit_rule
from src.evaluation.metrics.classification import softmax
from src.evaluation.predictions import Predictions
from src.evaluation.report.decision import publish_decision
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


METHODS = [
    make_decision("abstain", accuracy=0.7),
    make_decision("costs"),
    make_decision("conformal", coverage=0.8),
    make_decision("thresholds", of_class="a", recall=0.6),
]


@pytest.fixture
def reported(tmp_path, table):
    """Writes the report on a rule; returns a function that checks it, and that of dvc.lock's method."""
    folder = tmp_path / "reports/evaluate"
    folder.mkdir(parents=True)
    held = {name: table["split"] == name for name in ("val", "test")}
    logits = np.stack([table[f"logit_{k}"] for k in range(3)], axis=1)
    scores = {name: softmax(logits[rows]) for name, rows in held.items()}
    targets = {name: table["target"][rows] for name, rows in held.items()}
    columns = {"id": np.flatnonzero(held["test"]), "target": targets["test"]}
    columns |= {f"p_{k}": scores["test"][:, k] for k in range(3)}
    parquet.write_table(with_spec(pa.table(columns), DataSpec(CLASSES)), folder / "predictions.parquet")

    def predictions(name):
        ids = np.flatnonzero(held[name])
        return Predictions(name, CLASSES, ids, targets[name], scores[name], DataSpec(CLASSES), [], None)

    def write(settings):
        rule = fit_rule(settings, scores["val"], targets["val"], CLASSES, "val")
        publish_decision(folder, rule, predictions("val"), predictions("test"), 0.95)

    def check(settings):
        parameters = {"evaluate": {"confidence": 0.95, "decision": settings.model_dump()}}
        lock, see = {"evaluate": SimpleNamespace(parameters=parameters)}, CheckLog()
        check_decision(SimpleNamespace(folder=tmp_path, lock=lock), scores["test"], targets["test"], see)
        return see

    return write, check, tmp_path / REPORT


@pytest.mark.parametrize("settings", METHODS, ids=lambda settings: settings.method)
def test_what_a_rule_does_to_the_test_images_is_recomputed(reported, settings):
    write, check, path = reported
    write(settings)
    see = check(settings)
    assert not see.findings
    assert f"{REPORT} follows from its rule and the stored answers" in see.agreed
    content = json.loads(path.read_text())
    content["test"]["classes"]["b"] = {}
    path.write_text(json.dumps(content))
    (finding,) = check(settings).findings
    assert (finding.what, finding.verdict) == (f"test.classes of {REPORT}", Verdict.TAMPERED)


@pytest.mark.parametrize("test", [None, [], {}])
def test_a_report_without_the_test_images_is_tampering(reported, test):
    write, check, path = reported
    write(METHODS[0])
    path.write_text(json.dumps(json.loads(path.read_text()) | {"test": test}))
    assert {finding.verdict for finding in check(METHODS[0]).findings} == {Verdict.TAMPERED}


def test_a_nicer_area_under_the_curve_is_tampering(reported):
    write, check, path = reported
    write(METHODS[0])
    content = json.loads(path.read_text())
    content["test"]["aurc"] /= 2
    path.write_text(json.dumps(content))
    (finding,) = check(METHODS[0]).findings
    assert finding.what == f"test.aurc of {REPORT}"


def test_a_report_on_a_rule_of_another_method_is_tampering(reported):
    write, check, _ = reported
    write(METHODS[1])
    (finding,) = check(METHODS[0]).findings
    assert (finding.what, finding.verdict) == (f"method of the rule in {REPORT}", Verdict.TAMPERED)


def test_with_argmax_a_report_must_not_exist(reported):
    write, check, path = reported
    write(METHODS[0])
    (finding,) = check(make_decision("argmax")).findings
    assert (finding.what, finding.verdict) == (REPORT, Verdict.TAMPERED)
    path.unlink()
    assert not check(make_decision("argmax")).findings


@pytest.mark.parametrize("content", [None, "{", '{"rule": {"method": "abstain"}}', "[]"])
def test_a_report_that_is_missing_or_cannot_be_read_is_named(reported, content):
    _, check, path = reported
    if content is not None:
        path.write_text(content)
    (finding,) = check(METHODS[0]).findings
    assert (finding.what, finding.verdict) == (REPORT, Verdict.INCOMPLETE)


def test_the_check_of_the_base_recomputes_it(reported, tmp_path):
    reported[0](METHODS[0])
    (tmp_path / "reports/evaluate/metrics.json").write_text("{}")
    evaluate = {"confidence": 0.95, "decision": METHODS[0].model_dump(), "top_k": 2, "calibration_bins": 10}
    command, files, see = "python -m src.evaluate", {"outs": ["reports/evaluate"]}, CheckLog()
    train = {"cmd": "python -m src.train", "outs": ["models/base"]}
    locked = {"evaluate": {"cmd": command, "params": {"params.yaml": {"evaluate": evaluate}}}}
    for name, content in (
        ("params.yaml", {"evaluate": evaluate}),
        ("dvc.yaml", {"stages": {"train": train, "evaluate": {"cmd": command, **files}}}),
        ("dvc.lock", {"schema": "2.0", "stages": locked}),
    ):
        (tmp_path / name).write_text(yaml.safe_dump(content))
    _base(AuditTarget("the workspace", tmp_path, tmp_path, "train", is_workspace=True), see)
    assert not see.findings
    assert f"{REPORT} follows from its rule and the stored answers" in see.agreed
    assert see.notes == ["the model was not asked again: models/base is not made yet (dvc repro)"]
