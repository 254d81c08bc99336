"""One metric by its name, computed as :func:`classification.summary` computes it, and nothing else."""

import math
from collections.abc import Iterable, Sequence

from src.config.suggestions import did_you_mean
from src.core.errors import AssayError
from src.core.metric_names import class_of
from src.evaluation.metrics import classification
from src.evaluation.metrics.calibration import calibration_error
from src.evaluation.metrics.classification import Floats, Integers

AREAS = ("roc_auc", "average_precision")
MEANS = {"log_loss": classification.log_losses, "brier": classification.brier_scores}


def metric_value(
    name: str, probabilities: Floats, targets: Integers, classes: Sequence[str], top_k: int = 0, bins: int = 0
) -> float:
    """A metric such as ``val/f1_macro`` or ``val/recall/cat``; NaN where it is undefined.

    A class that is never predicted has the precision 0, as in macro averages.

    Args:
        name: Of the metric, with any scope.
        probabilities: (n, K).
        targets: (n,).
        classes: K names.
        top_k: k of ``top_k_accuracy``; the others do not need it.
        bins: Of ``calibration_error``; the others do not need them.
    """
    metric = name.split("/", 2)[1]
    if metric in AREAS:
        return float(classification.average_area(classification.curve_areas(probabilities, targets)[metric]))
    if metric in MEANS:
        return float(MEANS[metric](probabilities, targets).mean())
    if metric == "calibration_error":
        return calibration_error(probabilities, targets, bins)
    if metric == "top_k_accuracy":
        hits = classification.top_hits(probabilities, targets, top_k)
        return float(hits.mean()) if top_k < len(classes) else math.nan
    counts = classification.count(targets, classification.predict(probabilities), len(classes))
    of_class = class_of(name)
    if of_class is None:
        return float(classification.from_counts(counts)[metric])
    return float(classification.of_class(counts, classes.index(of_class))[metric])


def refuse_unknown_classes(names: Iterable[str], classes: Sequence[str]) -> None:
    """
    Raises:
        AssayError: A metric is of a class that does not exist; names each such metric.
    """
    named = {name: of_class for name in names if (of_class := class_of(name)) is not None}
    faults = [
        f"{name}: no class is called {of_class}{did_you_mean(of_class, classes)}; the classes are "
        f"{', '.join(classes)}"
        for name, of_class in named.items()
        if of_class not in classes
    ]
    if faults:
        raise AssayError("\n".join(faults))
