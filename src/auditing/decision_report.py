"""What evaluate says that the decision rule does to the test images, against the stored answers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src.auditing.target import AuditTarget
from src.auditing.verdict import CheckLog, Verdict
from src.data.dataset.spec import PREDICTIONS, read_spec
from src.evaluation.fitted.decision import coverage_curve
from src.evaluation.report.decision import rule_metrics

REPORT = "reports/evaluate/decision.json"
EXACT = 1e-9  # of a share or a threshold


def check_decision(
    subject: AuditTarget, probabilities: NDArray[np.float64], targets: NDArray[np.int64], see: CheckLog
) -> None:
    """Recompute what the rule in decision.json does to n test images, if dvc.lock asks for a rule.

    Args:
        subject: of which the base is audited.
        probabilities: (n, K) of predictions.parquet.
        targets: (n,).
        see: receives what is found.
    """
    if "evaluate" not in subject.lock:
        return
    settings, path = subject.lock["evaluate"].parameters["evaluate"], subject.folder / REPORT
    method = settings.get("decision", {}).get("method", "argmax")
    if not _is_there(path, method, see):
        return
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        found, again = told["rule"]["method"], _again(path, told["rule"], probabilities, targets, settings)
    except Exception as error:  # a rule that was edited can make anything raise
        reason = f"{type(error).__name__}: {error}"
        see.find(REPORT, "readable, with a rule that can be applied", reason, Verdict.INCOMPLETE)
        return
    see.equal(f"method of the rule in {REPORT}", method, found, Verdict.TAMPERED)
    _compare(told.get("test"), again, see)


def _is_there(path: Path, method: str, see: CheckLog) -> bool:
    """Whether there is a report, which there must be unless the method is argmax; a fault is noted."""
    wanted, there = method != "argmax", path.is_file()
    said = f"evaluate.decision.method of dvc.lock is {method}"
    if wanted and not there:
        see.find(REPORT, f"written: {said}", "missing", Verdict.INCOMPLETE)
    elif there and not wanted:
        see.find(REPORT, f"not written: {said}", "a file", Verdict.TAMPERED)
    return wanted and there


def _again(
    path: Path,
    rule: dict[str, Any],
    probabilities: NDArray[np.float64],
    targets: NDArray[np.int64],
    settings: dict[str, Any],
) -> dict[str, Any]:
    """Part ``test`` of the report, from the rule in it."""
    classes = read_spec(path.with_name(PREDICTIONS)).classes
    if classes is None:
        raise ValueError(f"{PREDICTIONS} does not say what its classes are")
    found = rule_metrics(rule, probabilities, targets, classes, settings["confidence"])
    area = {"aurc": coverage_curve(probabilities, targets).area} if rule["method"] == "abstain" else {}
    return found | area


def _compare(told: Any, again: dict[str, Any], see: CheckLog) -> None:
    """Name each metric of the test images that differs."""
    told = told if isinstance(told, dict) else {}
    names = dict.fromkeys([*again, *told])
    other = [name for name in names if not same_rule(told.get(name), again.get(name))]
    for name in other:
        what = f"test.{name} of {REPORT}"
        see.find(what, f"{again.get(name)}, recomputed", told.get(name), Verdict.TAMPERED)
    if not other:
        see.agree(f"{REPORT} follows from its rule and the stored answers")


def same_rule(told: Any, again: Any) -> bool:
    """Whether two rules, or what they do, are equal up to the last digits of a probability."""
    if isinstance(told, dict) and isinstance(again, dict):
        return told.keys() == again.keys() and all(same_rule(told[key], again[key]) for key in told)
    if isinstance(told, float) and isinstance(again, float):
        return abs(told - again) <= EXACT
    return bool(told == again)
