"""Do the metrics follow from the predictions, and the predictions from the model?"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from src.auditing.claims import published_metrics, recorded_claims
from src.auditing.decision_report import check_decision, same_rule
from src.auditing.file_comparison import read_table
from src.auditing.robustness import check_robustness
from src.auditing.target import BASE, AuditTarget
from src.auditing.verdict import CheckLog, Verdict
from src.compression.parity import onnx_logits
from src.config.schema.evaluate import Decision
from src.core.cpus import available_cpus
from src.data.dataset.arrays import open_array
from src.data.dataset.index import read_index, read_split
from src.data.dataset.spec import describe_model, describe_split, differences, read_spec
from src.evaluation.fitted.decision import fit_rule
from src.evaluation.metrics.classification import softmax, summary
from src.models.inference import predict_logits
from src.models.saving import load_model
from src.registry.variant_metrics import evaluate_metrics
from src.serving.decision import describe

QUESTION = "Do the metrics follow from the predictions, and these from the model?"
PREDICTIONS, IMAGES = "predictions.parquet", "data/ingest/images.npy"
EXACT = 1e-9  # of a metric that follows from stored predictions
TOLERANCE = 1e-3  # of a logit, for the same file on another machine
DIGITS = 6  # that a tag keeps of a metric
OBSERVED = "speed"  # scope of the metrics of a machine, which benchmark may replace at any time


def check(subject: AuditTarget, see: CheckLog) -> None:
    """Recompute from the stored predictions, run the model again, and compare with what is claimed."""
    _model(subject, see)
    validated, slack = _validation(subject, see)
    base = subject.run if subject.variant is None else subject.base
    if base is not None and _compare(validated, base.metrics, "of the base in MLflow", see, slack):
        see.agree("the base's validation metrics in MLflow are those of its answers today")
    _recorded(subject, validated, slack, see)


def _model(subject: AuditTarget, see: CheckLog) -> None:
    if subject.variant is None:
        _base(subject, see)
        return
    see.skipped = subject.first_absent(f"models/{subject.variant}/{PREDICTIONS}")
    if see.skipped is None:
        _variant(subject, subject.model_folder / PREDICTIONS, see)
    if subject.version is not None and subject.run is not None:
        _tags(subject.version.tags, subject.run.metrics, see)
    if subject.base is not None:
        _evaluated(subject, subject.base.metrics, see)


def _variant(subject: AuditTarget, path: Path, see: CheckLog) -> None:
    table = read_table(path)
    held = {name: table["split"] == name for name in ("val", "test")}
    right = table["predicted"] == table["target"]
    found = {f"{name}/accuracy": float(right[rows].mean()) for name, rows in held.items() if rows.any()}
    about = json.loads((subject.model_folder / "variant.json").read_text(encoding="utf-8"))
    told = about["val"]["accuracy"]
    see.equal(
        "validation accuracy of variant.json, from its predictions",
        told,
        found["val/accuracy"],
        Verdict.TAMPERED,
    )
    if subject.run is not None:
        _claimed(found, subject.run.metrics, f"of {subject.run.name} in MLflow", see)
    _rule(subject, table, see)
    _answers(subject, path, table, see)


def _rule(subject: AuditTarget, table: Mapping[str, NDArray[Any]], see: CheckLog) -> None:
    """The decision rule, fitted again to the stored answers for the validation images."""
    stage, path = subject.lock.get(subject.stage), subject.model_folder / "model.json"
    settings = None if stage is None else stage.parameters.get("evaluate.decision")
    if settings is None or not path.is_file():
        return
    spec, val = json.loads(path.read_text(encoding="utf-8")), table["split"] == "val"
    told = spec.get("decision")
    if told is not None and told.get("fitted_on", {}).get("split") == "calibration":
        see.note("the decision rule was not fitted again: the answers that it was fitted to are not stored")
        return
    probabilities = softmax(_stored_logits(table)[val])
    again = fit_rule(
        Decision.model_validate(settings), probabilities, table["target"][val], spec["classes"], "val"
    )
    if not same_rule(told, again):
        see.find("the decision rule", f"{again}, from the answers", told, Verdict.TAMPERED)
    elif told is not None:
        see.agree(f"the decision rule follows from the answers: {describe(told)}")


def _stored_logits(table: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    """(n, K)"""
    classes = sum(name.startswith("logit_") for name in table)
    return np.stack([table[f"logit_{k}"] for k in range(classes)], axis=1)


def _same_data(subject: AuditTarget, model: Path, predictions: Path, see: CheckLog) -> bool:
    """Whether images, split, model and predictions say the same of their data; what differs is noted."""
    folder = subject.folder / "data"
    data = describe_split(folder / "ingest", folder / "split")
    pairs = (("the model", data, describe_model(model)), ("its predictions", data, read_spec(predictions)))
    found = [(name, what, a, b) for name, one, other in pairs for what, a, b in differences(one, other)]
    for name, what, ours, theirs in found:
        see.find(f"{what} of {name}", f"{ours}, of the images and their split", theirs, Verdict.TAMPERED)
    return not found


def _answers(
    subject: AuditTarget, predictions: Path, table: Mapping[str, NDArray[Any]], see: CheckLog
) -> None:
    """The model itself, asked again for every held-out image."""
    file, images = (subject.model or subject.model_folder) / "model.onnx", subject.folder / IMAGES
    if missing := subject.first_absent(IMAGES) if file.is_file() else "its file is not here":
        see.note(f"the model was not asked again: {missing}")
        return
    if not _same_data(subject, file.parent, predictions, see):
        return
    logits = onnx_logits(file, open_array(images)[table["id"]], available_cpus())
    stored = _stored_logits(table)
    # of a float model the network's answers are stored, which the file may differ from
    tolerance = max(TOLERANCE, subject.params["compress"]["tolerance"])
    _same_answers(stored, logits, table["predicted"], see, tolerance)


def _base(subject: AuditTarget, see: CheckLog) -> None:
    """The base model, by what evaluate has written of it."""
    folder = subject.folder / "reports/evaluate"
    see.skipped = subject.first_absent(f"reports/evaluate/{PREDICTIONS}")
    if see.skipped is not None:
        return
    table = read_table(folder / PREDICTIONS)
    columns = sorted((name for name in table if name.startswith("p_")), key=lambda name: int(name[2:]))
    probabilities = np.stack([table[name] for name in columns], axis=1)
    settings = subject.params["evaluate"]
    found = summary(probabilities, table["target"], settings["top_k"], settings["calibration_bins"])
    again = {f"test/{name}": value for name, value in found.items()}
    again |= check_robustness(subject, table, len(columns), see)
    check_decision(subject, probabilities, table["target"], see)
    _claimed(again, evaluate_metrics(folder / "metrics.json"), "of metrics.json", see)
    if subject.run is not None:
        _evaluated(subject, subject.run.metrics, see)
    _base_answers(subject, probabilities, table, see)


def _base_answers(
    subject: AuditTarget, probabilities: NDArray[np.float64], table: Mapping[str, NDArray[Any]], see: CheckLog
) -> None:
    model, images = subject.folder / "models/base", subject.folder / IMAGES
    if missing := subject.first_absent("models/base", IMAGES):
        see.note(f"the model was not asked again: {missing}")
        return
    if not _same_data(subject, model, subject.folder / "reports/evaluate" / PREDICTIONS, see):
        return
    logits = predict_logits(*load_model(model), open_array(images), table["id"], device="cpu")
    _same_answers(probabilities, softmax(logits), table["predicted"], see)


def _validation(subject: AuditTarget, see: CheckLog) -> tuple[dict[str, float], dict[str, float]]:
    """The base's metrics of the validation images, from its answers today, and what rounding may change in
    each; both empty if that cannot be had. Nothing else is made from them, so only the model can tell."""
    model, data = subject.folder / "models/base", subject.folder / "data"
    if missing := subject.first_absent("models/base", IMAGES, "data/split/splits.parquet"):
        see.note(f"the base's validation metrics were not recomputed: {missing}")
        return {}, {}
    other = list(differences(describe_split(data / "ingest", data / "split"), describe_model(model)))
    if other:
        for what, ours, theirs in other:
            see.find(
                f"{what} of the base", f"{ours}, of the images and their split", theirs, Verdict.TAMPERED
            )
        return {}, {}
    rows = np.flatnonzero(read_split(data / "split", data / "ingest")[0] == "val")
    network, spec = load_model(model)
    plain = replace(spec, temperature=1.0)  # the loss of a training knows no temperature
    logits = predict_logits(network, plain, open_array(data / "ingest/images.npy"), rows, device="cpu")
    logs, targets = log_softmax(logits.astype(np.float64), axis=1), read_index(data / "ingest").targets[rows]
    second, first = np.sort(logits, axis=1)[:, -2:].T
    found = {
        "val/accuracy": float((logits.argmax(axis=1) == targets).mean()),
        "val/loss": float(-logs[np.arange(len(rows)), targets].mean()),
    }
    tied = float((first - second <= 2 * TOLERANCE).mean())  # whose class rounding may change
    return found, {"val/accuracy": tied + EXACT, "val/loss": 2 * TOLERANCE}


def _recorded(
    subject: AuditTarget, validated: Mapping[str, float], slack: Mapping[str, float], see: CheckLog
) -> None:
    """What the records in git say, against the result files and what was recomputed."""
    published, base, compared = published_metrics(subject), subject.lineages.get(BASE), 0
    for path, lineage, claimed in recorded_claims(subject):
        found = published.get(lineage, {})
        if lineage == base:
            found = {**found, **validated}
        compared += _compare(found, claimed, f"of {path}", see, slack if lineage == base else {})
    if compared:
        see.agree(f"{compared} metrics of the records in git compared with the results")


def _evaluated(subject: AuditTarget, claimed: Mapping[str, float], see: CheckLog) -> None:
    """What MLflow says of the base's test images, against evaluate's report."""
    path = subject.folder / "reports/evaluate/metrics.json"
    if path.is_file():
        _claimed(evaluate_metrics(path), claimed, "of the base in MLflow", see)


def _claimed(found: Mapping[str, float], claimed: Mapping[str, float], whose: str, see: CheckLog) -> None:
    """Compare metrics that were found with those that are claimed; a missing claim is no lie."""
    compared = _compare(found, claimed, whose, see)
    see.agree(f"{compared} metrics {whose} compared with what was recomputed")


def _compare(
    found: Mapping[str, float],
    claimed: Mapping[str, float],
    whose: str,
    see: CheckLog,
    slack: Mapping[str, float] = MappingProxyType({}),
) -> int:
    """Note what differs by more than ``slack``, by name; returns how many metrics were compared."""
    shared = [name for name, value in found.items() if name in claimed and np.isfinite(value)]
    for name in shared:
        if abs(claimed[name] - found[name]) > slack.get(name, EXACT * max(1.0, abs(found[name]))):
            told = f"{found[name]:.9g}, recomputed"
            see.find(f"{name} {whose}", told, f"{claimed[name]:.9g}", Verdict.TAMPERED)
    return len(shared)


def _tags(tags: Mapping[str, str], metrics: Mapping[str, float], see: CheckLog) -> None:
    """The metrics on the version are those on its run."""
    compared = 0
    for name, text in tags.items():
        if name not in metrics or name.startswith(OBSERVED):
            continue
        compared += 1
        if float(text) != float(f"{metrics[name]:.{DIGITS}g}") and float(text) != metrics[name]:
            see.find(
                f"{name} of the version", f"{metrics[name]:.{DIGITS}g} on its run", text, Verdict.TAMPERED
            )
    see.agree(f"{compared} metrics of the version compared with those of its run")


def _same_answers(
    stored: NDArray[Any],
    again: NDArray[Any],
    predicted: NDArray[Any],
    see: CheckLog,
    tolerance: float = TOLERANCE,
) -> None:
    """Whether a model says today what it said then; two classes that tie within the tolerance may swap."""
    lead = again.max(axis=1) - np.take_along_axis(again, predicted[:, None], axis=1)[:, 0]
    changed = int((lead > 2 * tolerance).sum())
    largest = float(np.abs(stored - again).max())
    if changed or largest > tolerance:
        found = f"{changed} other predictions, largest difference of an output {largest:.2g}"
        see.find("the model, asked again", f"its {len(predicted):,} stored answers", found, Verdict.TAMPERED)
    else:
        see.agree(
            f"the model gives its {len(predicted):,} stored answers again (largest difference {largest:.1g})"
        )
