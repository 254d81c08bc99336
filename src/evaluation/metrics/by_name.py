"""One metric by its name, computed as :func:`classification.summary` computes it, and nothing else."""

from collections.abc import Sequence

from src.core.metric_names import class_of
from src.evaluation.metrics import classification
from src.evaluation.metrics.classification import Floats, Integers

AREAS = ("roc_auc", "average_precision")
MEANS = {"log_loss": classification.log_losses, "brier": classification.brier_scores}


def metric_value(name: str, probabilities: Floats, targets: Integers, classes: Sequence[str]) -> float:
    """A metric such as ``val/f1_macro`` or ``val/recall/cat``; NaN where it is undefined.

    A class that is never predicted has the precision 0, as in macro averages. Metrics that depend on a
    setting of ``evaluate`` are not among these.

    Args:
        name: Of the metric, with any scope.
        probabilities: (n, K).
        targets: (n,).
        classes: K names.
    """
    metric = name.split("/", 2)[1]
    if metric in AREAS:
        return float(classification.average_area(classification.curve_areas(probabilities, targets)[metric]))
    if metric in MEANS:
        return float(MEANS[metric](probabilities, targets).mean())
    counts = classification.count(targets, classification.predict(probabilities), len(classes))
    of_class = class_of(name)
    if of_class is not None:
        return float(classification.per_class(counts)[metric][classes.index(of_class)])
    return float(classification.from_counts(counts)[metric])
