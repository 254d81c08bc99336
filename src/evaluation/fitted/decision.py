"""Decision rules, fitted to images that the network was not trained on.

``src.serving.decision`` applies them; a fitted rule is what it takes, as plain JSON.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src.config.schema.evaluate import Decision, is_fitted
from src.config.suggestions import did_you_mean
from src.core.errors import AssayError
from src.evaluation.metrics.classification import Floats, Integers, double
from src.serving.decision import conformity_scores

Hits = NDArray[np.bool_]
MOST_POINTS = 500  # of a coverage curve


@dataclass(frozen=True)
class CoverageCurve:
    """Accuracy of the n most confident answers against their share, each (points,), from few to all."""

    confidence: Floats  # lowest probability that is still answered
    coverage: Floats  # share of the images that are answered
    accuracy: Floats  # of these
    area: float  # AURC: mean error over all n coverages, not only the points that are kept


def refuse_impossible(settings: Decision, classes: Sequence[str], targets: Integers) -> None:
    """Refuse a rule that images of these classes (n,) do not allow, before anything is computed.

    Raises:
        AssayError: A class is not known or has no images, or the images are too few; names all faults.
    """
    unknown = [
        f"evaluate.decision.{field}: no class is called {name}{did_you_mean(name, classes)}"
        for field, name in _named_classes(settings)
        if name not in classes
    ]
    known = [f"The classes are {', '.join(classes)}"] if unknown else []
    faults = [*unknown, *known, *_too_few_images(settings, classes, targets)]
    if faults:
        raise AssayError("\n".join(faults))


def fit_rule(
    settings: Decision, probabilities: Floats, targets: Integers, classes: Sequence[str], split: str
) -> dict[str, Any] | None:
    """The rule as ``model.json`` has it; None for argmax.

    Args:
        settings: section ``evaluate.decision``.
        probabilities: (n, K) of images that the network was not trained on.
        targets: (n,).
        classes: K names.
        split: that the images are of.

    Raises:
        AssayError: see :func:`refuse_impossible`.
    """
    refuse_impossible(settings, classes, targets)
    if is_fitted(settings):
        found = _fitted(settings, probabilities, targets, classes)
        return {"method": settings.method, **found, "fitted_on": {"split": split, "images": len(targets)}}
    if settings.method == "costs":
        return {"method": "costs", "costs": _cost_matrix(settings, classes)}
    if settings.method == "abstain":
        return {"method": "abstain", "confidence": settings.confidence}
    return None


def coverage_curve(probabilities: Floats, targets: Integers) -> CoverageCurve:
    """Accuracy against coverage (El-Yaniv and Wiener, 2010), and the area under the risk-coverage curve
    (AURC; Geifman and El-Yaniv, "Selective Classification for Deep Neural Networks", 2017).

    Images with equal confidence are answered together, so they share the error of the last of them.

    Args:
        probabilities: (n, K).
        targets: (n,).
    """
    confidence = probabilities.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    ranked, right = confidence[order], (probabilities.argmax(axis=1) == targets)[order]
    number = np.arange(1, len(targets) + 1)
    last = np.searchsorted(-ranked, -ranked, side="right") - 1  # of the images with the same confidence
    accuracy = (np.cumsum(right) / number)[last]
    ends = np.unique(last)
    kept = ends[np.unique(np.linspace(0, len(ends) - 1, min(len(ends), MOST_POINTS)).round().astype(int))]
    area = float((1 - accuracy).mean())
    return CoverageCurve(ranked[kept], number[kept] / len(targets), accuracy[kept], area)


def threshold_for_precision(scores: Floats, hits: Hits, precision: float) -> float | None:
    """The lowest of the scores (n,) from which on at least this share are ``hits`` (n,).

    0 if all scores together reach it: lower ones, which these images lack, would be no worse. None if no
    score does.
    """
    if not hits.any():
        return None
    found = _precision_recall(scores, hits)
    reached = np.flatnonzero(found[0][:-1] >= precision)  # the last point is no threshold
    if not len(reached):
        return None
    return float(found[2][reached[0]]) if reached[0] else 0.0


def threshold_for_recall(scores: Floats, hits: Hits, recall: float) -> float:
    """The highest of the scores (n,) from which on at least this share of the ``hits`` (n,) are found."""
    found = _precision_recall(scores, hits)
    return float(found[2][np.flatnonzero(found[1][:-1] >= recall)[-1]])


def conformal_quantile(scores: Floats, coverage: float) -> float:
    """The score of rank ⌈(n + 1) · coverage⌉ of n scores (n,): a new image's own score is at most that with
    at least this probability (Papadopoulos et al., "Inductive Confidence Machines for Regression", 2002)."""
    return float(np.sort(scores)[_rank(len(scores), coverage) - 1])


def _fitted(
    settings: Decision, probabilities: Floats, targets: Integers, classes: Sequence[str]
) -> dict[str, Any]:
    if settings.method == "thresholds":
        return _fit_thresholds(settings, probabilities, targets, classes)
    if settings.method == "abstain":
        return _fit_abstention(settings, probabilities, targets)
    return _fit_conformal(settings, probabilities, targets)


def _fit_thresholds(
    settings: Decision, probabilities: Floats, targets: Integers, classes: Sequence[str]
) -> dict[str, Any]:
    name, precision, recall = settings.of_class, settings.precision, settings.recall
    if name is None:
        found = _threshold_each(probabilities, targets, classes, float(precision or 0))
        return {"of_class": None, "thresholds": found, "stated": {"precision": precision}}
    scores, hits = probabilities[:, classes.index(name)], targets == classes.index(name)
    if recall is not None:
        found = {name: threshold_for_recall(scores, hits, recall)}
        return {"of_class": name, "thresholds": found, "stated": {"recall": recall}}
    found = {name: threshold_for_precision(scores, hits, float(precision or 0))}
    return {"of_class": name, "thresholds": found, "stated": {"precision": precision}}


def _threshold_each(
    probabilities: Floats, targets: Integers, classes: Sequence[str], precision: float
) -> dict[str, float | None]:
    """For each class the threshold among the images of which it is the most probable class."""
    predicted, found = probabilities.argmax(axis=1), dict[str, float | None]()
    for k, name in enumerate(classes):
        own = predicted == k
        found[name] = threshold_for_precision(probabilities[own, k], targets[own] == k, precision)
    return found


def _fit_abstention(settings: Decision, probabilities: Floats, targets: Integers) -> dict[str, Any]:
    wanted, right = float(settings.accuracy or 0), probabilities.argmax(axis=1) == targets
    confidence = threshold_for_precision(probabilities.max(axis=1), right, wanted)
    return {"confidence": confidence, "stated": {"accuracy": wanted}}


def _fit_conformal(settings: Decision, probabilities: Floats, targets: Integers) -> dict[str, Any]:
    scores = conformity_scores(probabilities, settings.score)[np.arange(len(targets)), targets]
    quantile = conformal_quantile(scores, settings.coverage)
    return {"score": settings.score, "quantile": quantile, "stated": {"coverage": settings.coverage}}


def _cost_matrix(settings: Decision, classes: Sequence[str]) -> dict[str, dict[str, float]]:
    return {
        actual: {
            answer: float(settings.costs.get(actual, {}).get(answer, actual != answer)) for answer in classes
        }
        for actual in classes
    }


def _named_classes(settings: Decision) -> Iterator[tuple[str, str]]:
    """The field that names a class, and the class."""
    if settings.method == "thresholds" and settings.of_class is not None:
        yield "of_class", settings.of_class
    if settings.method == "costs":
        names = (name for actual, row in settings.costs.items() for name in (actual, *row))
        yield from (("costs", name) for name in dict.fromkeys(names))


def _too_few_images(settings: Decision, classes: Sequence[str], targets: Integers) -> list[str]:
    of_class = settings.of_class if settings.method == "thresholds" else None
    if of_class in classes and not (targets == classes.index(of_class)).any():
        return [
            f"evaluate.decision.of_class={of_class}: no image that it could be fitted to is of this class"
        ]
    if settings.method == "conformal" and _rank(len(targets), settings.coverage) > len(targets):
        least = math.ceil(settings.coverage / (1 - settings.coverage) - 1e-9)
        return [
            f"evaluate.decision.coverage={settings.coverage:g} needs at least {least:,} images to fit it to, "
            f"but there are {len(targets):,}: lower it, or raise split.val or split.calibration"
        ]
    return []


def _rank(images: int, coverage: float) -> int:
    return math.ceil((images + 1) * coverage - 1e-9)  # 0.9 is a little more than nine tenths


def _precision_recall(scores: Floats, hits: Hits) -> tuple[Floats, Floats, Floats]:
    """Precision and recall from each threshold on, with a last point beyond all; thresholds, ascending."""
    import torch
    from torchmetrics.functional.classification import binary_precision_recall_curve

    with double():
        found = binary_precision_recall_curve(
            torch.from_numpy(np.ascontiguousarray(scores)),
            torch.from_numpy(hits.astype(np.int64)),
            validate_args=False,
        )
    precision, recall, thresholds = (each.numpy() for each in found)
    return precision, recall, thresholds
