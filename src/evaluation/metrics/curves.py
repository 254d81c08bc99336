"""ROC and precision-recall curves of each class against the rest, thinned so that they can be committed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torchmetrics.functional import classification

from src.evaluation.metrics.classification import Floats, Integers, curve_areas, double

MOST_POINTS = 500  # of one curve
ALL_POINTS = 5_000  # of all curves together: 100 classes keep 50 points each
FEWEST_POINTS = 20


@dataclass(frozen=True)
class Curve:
    """One class's curve from left to right, ``x`` and ``y``: (points,).

    ROC: x is the false, y the true positive rate. Precision-recall: x is recall, y precision.
    """

    name: str
    x: Floats
    y: Floats
    area: float  # under the whole curve, before it was thinned


def roc_curves(probabilities: Floats, targets: Integers, classes: list[str]) -> list[Curve]:
    """One curve for each class that has rows and is not the only one; of two classes only the second."""
    curves, area = [], curve_areas(probabilities, targets)["roc_auc"]
    for index in drawable(targets, len(classes)):
        if (targets == index).all():
            continue
        false_rate, true_rate, _ = _curve(classification.binary_roc, probabilities, targets, index)
        points = _thin(false_rate, true_rate, points_each(len(classes)))
        curves.append(Curve(classes[index], *points, float(area[index])))
    return curves


def pr_curves(probabilities: Floats, targets: Integers, classes: list[str]) -> list[Curve]:
    """One curve for each class that has rows; of two classes only the second."""
    curves, area = [], curve_areas(probabilities, targets)["average_precision"]
    for index in drawable(targets, len(classes)):
        both = _curve(classification.binary_precision_recall_curve, probabilities, targets, index)
        recall, precision = both[1][::-1], both[0][::-1]  # torchmetrics goes from recall 1 to 0
        points = _thin(recall, precision, points_each(len(classes)))
        curves.append(Curve(classes[index], *points, float(area[index])))
    return curves


def macro_roc(curves: list[Curve]) -> Curve:
    """Mean of the curves over 201 equally spaced false positive rates."""
    x = np.linspace(0, 1, 201)
    y = np.mean([np.interp(x, curve.x, curve.y) for curve in curves], axis=0)
    return Curve("macro average", np.concatenate([[0.0], x]), np.concatenate([[0.0], y]), _mean_area(curves))


def macro_pr(curves: list[Curve]) -> Curve:
    """Mean of the precision that each class reaches at 201 equally spaced recalls or beyond.

    Precision is that of the first point with enough recall, never interpolated: a line between two points
    would promise what no threshold gives (Davis and Goadrich, 2006).
    """
    x = np.linspace(0, 1, 201)
    reached = [curve.y[np.searchsorted(curve.x, x - 1e-12).clip(max=len(curve.x) - 1)] for curve in curves]
    return Curve("macro average", x, np.mean(reached, axis=0), _mean_area(curves))


def drawable(targets: Integers, classes: int) -> Iterator[int]:
    """Classes that get a curve: those with rows; of two classes the second one, which is "positive"."""
    return (int(index) for index in np.unique(targets) if classes > 2 or index == 1)


def points_each(classes: int) -> int:
    """The most points that a curve keeps."""
    return int(np.clip(ALL_POINTS // classes, FEWEST_POINTS, MOST_POINTS))


def _mean_area(curves: list[Curve]) -> float:
    return float(np.mean([curve.area for curve in curves]))


def _curve(
    function: Callable[..., tuple[Tensor, Tensor, Tensor]],
    probabilities: Floats,
    targets: Integers,
    index: int,
) -> tuple[Floats, Floats, Floats]:
    scores = torch.from_numpy(np.ascontiguousarray(probabilities[:, index]))
    truth = torch.from_numpy((targets == index).astype(np.int64))
    with double():
        first, second, thresholds = function(scores, truth, validate_args=False)
    return first.numpy(), second.numpy(), thresholds.numpy()


def _thin(x: Floats, y: Floats, most: int) -> tuple[Floats, Floats]:
    """Keep the ends and the corners; if these are too many, those at equal steps along the curve."""
    before_x, before_y = np.diff(x)[:-1], np.diff(y)[:-1]
    after_x, after_y = np.diff(x)[1:], np.diff(y)[1:]
    bends = np.abs(before_x * after_y - before_y * after_x) > 1e-15
    turns = (before_x * after_x + before_y * after_y) < 0
    keep = np.flatnonzero(np.concatenate([[True], bends | turns, [True]]))
    x, y = x[keep], y[keep]
    if len(x) <= most:
        return x, y
    length = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
    steps = np.linspace(0, length[-1], most)
    places = np.unique(np.searchsorted(length, steps).clip(max=len(x) - 1))
    return x[places], y[places]
