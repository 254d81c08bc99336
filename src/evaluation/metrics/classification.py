"""How good a classification is: pure functions of probabilities and targets.

Areas under curves come from torchmetrics; only they import it, which takes two seconds. The ratios are
computed here: torchmetrics divides counts in float32, so 59/60 would be reported as 0.9833333492, and the
same functions serve the metrics and their bootstrap.

An undefined metric is NaN, never a silent zero; :func:`undefined_reasons` says why. Macro averages cover the
classes that occur among the targets. ``src.core.metric_names.PREDICTION`` lists the names.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from src.evaluation.metrics.calibration import calibration_error

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

# Probabilities are kept off zero by float64's epsilon in the log loss, as scikit-learn does.
SMALLEST = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class ConfusionCounts:
    """Per class, over the last axis (…, K): what every metric of hard predictions is made of."""

    hits: Floats  # rows of the class that were predicted as it
    actual: Floats  # rows of the class
    predicted: Floats  # rows predicted as the class


def softmax(logits: NDArray[np.float32]) -> Floats:
    """Probabilities in float64. ``logits``: (n, K); result: (n, K), each row sums to 1."""
    wide = logits.astype(np.float64)
    wide = np.exp(wide - wide.max(axis=1, keepdims=True))
    return np.asarray(wide / wide.sum(axis=1, keepdims=True))


def predict(probabilities: Floats) -> Integers:
    """The most probable class of each row; of equal ones the first. (n, K) -> (n,)."""
    return np.asarray(probabilities.argmax(axis=1), dtype=np.int64)


def confusion(targets: Integers, predicted: Integers, classes: int) -> Integers:
    """Rows of class i predicted as j: (K, K)."""
    for labels in (targets, predicted):
        if labels.size and not 0 <= labels.min() <= labels.max() < classes:
            raise ValueError(
                f"labels must be from 0 to {classes - 1}, but go from {labels.min()} to {labels.max()}"
            )
    cells = np.bincount(targets.astype(np.int64) * classes + predicted, minlength=classes**2)
    return np.asarray(cells.reshape(classes, classes), dtype=np.int64)


def count(targets: Integers, predicted: Integers, classes: int) -> ConfusionCounts:
    """The counts of one set of predictions, each (K,)."""
    matrix = confusion(targets, predicted, classes).astype(np.float64)
    return ConfusionCounts(matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0))


def from_counts(counts: ConfusionCounts) -> dict[str, Floats]:
    """All metrics of hard predictions; the class axis is reduced, leading axes stay.

    Macro averages take the classes with ``actual`` > 0. A class that is present but never predicted
    counts with precision 0 (scikit-learn's ``zero_division=0``).
    """
    total = counts.actual.sum(axis=-1)
    share = counts.actual / total[..., None]
    accuracy = counts.hits.sum(axis=-1) / total
    single = per_class(counts)
    precision = np.nan_to_num(single["precision"])  # NaN -> 0
    f1 = np.nan_to_num(single["f1"])
    return {
        "accuracy": accuracy,
        "balanced_accuracy": _macro(single["recall"], counts.actual),
        "precision_macro": _macro(precision, counts.actual),
        "recall_macro": _macro(single["recall"], counts.actual),
        "f1_macro": _macro(f1, counts.actual),
        "precision_weighted": (precision * share).sum(axis=-1),
        "recall_weighted": accuracy,  # the same by definition
        "f1_weighted": (f1 * share).sum(axis=-1),
        "cohen_kappa": _cohen_kappa(counts, total),
        "matthews": _matthews(counts, total),
        "recall_min": np.where(counts.actual > 0, single["recall"], np.inf).min(axis=-1),
    }


def per_class(counts: ConfusionCounts) -> dict[str, Floats]:
    """Precision, recall and F1 of each class, (…, K).

    NaN where undefined: recall and F1 of a class without rows, precision of one never predicted.
    """
    present = counts.actual > 0
    return {
        "precision": ratio(counts.hits, counts.predicted),
        "recall": ratio(counts.hits, counts.actual),
        "f1": np.where(present, ratio(2 * counts.hits, counts.actual + counts.predicted), np.nan),
    }


def of_class(counts: ConfusionCounts, index: int) -> dict[str, Floats]:
    """Precision, recall and F1 of one class, (…,); NaN without rows, precision 0 if it is never predicted."""
    single = {name: values[..., index] for name, values in per_class(counts).items()}
    present = counts.actual[..., index] > 0
    precision = np.where(present, np.nan_to_num(single["precision"]), np.nan)
    return {**single, "precision": precision}


def top_hits(probabilities: Floats, targets: Integers, k: int) -> NDArray[np.bool_]:
    """Whether the true class is among the ``k`` most probable ones; equal ones rank by index. (n,)."""
    own = probabilities[np.arange(len(targets)), targets][:, None]
    index = np.arange(probabilities.shape[1])[None, :]
    ahead = (probabilities > own) | ((probabilities == own) & (index < targets[:, None]))
    return np.asarray(ahead.sum(axis=1) < k)


def log_losses(probabilities: Floats, targets: Integers) -> Floats:
    """Negative logarithm of the true class's probability, in nats. (n,)."""
    own = probabilities[np.arange(len(targets)), targets]
    return np.asarray(-np.log(np.clip(own, SMALLEST, 1.0)))


def brier_scores(probabilities: Floats, targets: Integers) -> Floats:
    """Squared distance from the truth, summed over all classes: 0 to 2, also for two classes. (n,)."""
    truth = np.eye(probabilities.shape[1])[targets]
    return np.asarray(((probabilities - truth) ** 2).sum(axis=1))


def curve_areas(probabilities: Floats, targets: Integers) -> dict[str, Floats]:
    """Areas under the one-vs-rest ROC curve and the precision-recall curve (as a sum of steps).

    Each (K,), in class order; NaN for a class without rows, and for the ROC of one that has all rows.
    """
    import torch
    from torchmetrics.functional import classification

    classes = probabilities.shape[1]
    area = {name: np.full(classes, np.nan) for name in ("roc_auc", "average_precision")}
    with double():
        for index in np.unique(targets):
            scores = torch.from_numpy(np.ascontiguousarray(probabilities[:, index]))
            truth = torch.from_numpy((targets == index).astype(np.int64))
            precision = classification.binary_average_precision(scores, truth, validate_args=False)
            area["average_precision"][index] = precision.item()
            if not truth.all():
                auc = classification.binary_auroc(scores, truth, validate_args=False)
                area["roc_auc"][index] = auc.item()
    return area


def average_area(per_class: Floats) -> Floats:
    """One number from the areas of the classes (…, K): of two classes that of the second one, the usual
    binary area; else the mean over the classes that have one, NaN when none has."""
    if per_class.shape[-1] == 2:
        return np.asarray(per_class[..., 1])
    known = ~np.isnan(per_class)
    return ratio(np.where(known, per_class, 0.0).sum(axis=-1), known.sum(axis=-1).astype(np.float64))


def summary(probabilities: Floats, targets: Integers, top_k: int, bins: int) -> dict[str, float]:
    """Every metric by its name below the scope; NaN where undefined. Top-k is left out when k >= classes."""
    classes = probabilities.shape[1]
    predicted = predict(probabilities)
    hard = {name: float(value) for name, value in from_counts(count(targets, predicted, classes)).items()}
    area = {name: float(average_area(value)) for name, value in curve_areas(probabilities, targets).items()}
    top = {}
    if top_k < classes:
        top = {"top_k_accuracy": float(top_hits(probabilities, targets, top_k).mean())}
    agreement = {name: hard.pop(name) for name in ("cohen_kappa", "matthews")}
    return {
        "accuracy": hard.pop("accuracy"),
        **top,
        **hard,
        **area,
        "log_loss": float(log_losses(probabilities, targets).mean()),
        "brier": float(brier_scores(probabilities, targets).mean()),
        "calibration_error": calibration_error(probabilities, targets, bins),
        **agreement,
    }


def undefined_reasons(
    metrics: dict[str, float], targets: Integers, classes: list[str], top_k: int
) -> dict[str, str]:
    """Why a metric is missing or covers only some of the classes: {metric: sentence}."""
    present = np.unique(targets)
    absent = [name for index, name in enumerate(classes) if index not in present]
    notes = {}
    if top_k >= len(classes):
        notes["top_k_accuracy"] = f"left out: k = {top_k} of {len(classes)} classes would always be 1"
    if absent:
        notes["macro"] = (
            f"macro averages cover {len(present)} of {len(classes)} classes; "
            f"no test images of: {', '.join(absent)}"
        )
    if len(classes) == 2:
        notes["roc_auc, average_precision"] = f"of two classes, {classes[1]} is the positive one"
    return notes | {name: _undefined(name, absent) for name, value in metrics.items() if np.isnan(value)}


def ratio(above: Floats, below: Floats) -> Floats:
    """``above / below``, NaN where ``below`` is 0."""
    return np.asarray(np.divide(above, below, out=np.full(np.shape(below), np.nan), where=below != 0))


@contextmanager
def double() -> Iterator[None]:
    """Let torchmetrics divide counts in float64: it uses torch's default type."""
    import torch

    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _undefined(name: str, absent: list[str]) -> str:
    if name == "roc_auc":
        return "undefined: needs test images of the class and of others"
    if name == "average_precision":
        return f"undefined: no test images of {absent[-1] if absent else 'any class'}"
    return "undefined: needs two classes among the test images, and among the predictions"


def _macro(values: Floats, actual: Floats) -> Floats:
    present = actual > 0
    return np.asarray(np.where(present, values, 0.0).sum(axis=-1) / present.sum(axis=-1))


def _cohen_kappa(counts: ConfusionCounts, total: Floats) -> Floats:
    """(observed - expected) / (1 - expected) agreement; NaN when there is only one class."""
    expected = (counts.actual * counts.predicted).sum(axis=-1)
    return ratio(counts.hits.sum(axis=-1) * total - expected, total**2 - expected)


def _matthews(counts: ConfusionCounts, total: Floats) -> Floats:
    """Correlation of truth and prediction (Gorodkin, 2004); NaN when either has only one class."""
    both = counts.hits.sum(axis=-1) * total - (counts.actual * counts.predicted).sum(axis=-1)
    spread = (total**2 - (counts.actual**2).sum(axis=-1)) * (total**2 - (counts.predicted**2).sum(axis=-1))
    return ratio(both, np.sqrt(spread))
