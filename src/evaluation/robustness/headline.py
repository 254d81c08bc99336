"""The few metrics of a corruption or a subgroup, each with its interval."""

import math

from src.config.schema.evaluate import Evaluate
from src.core.metric_names import with_limits
from src.evaluation.metrics import classification
from src.evaluation.metrics.classification import Integers
from src.evaluation.uncertainty.bootstrap import bootstrap_answers

HEADLINE = ("accuracy", "balanced_accuracy", "f1_macro")
COLUMNS = tuple(name for metric in HEADLINE for name in with_limits(f"test/{metric}"))
FEW = 30  # images; fewer allow no bootstrap, only the accuracy with Wilson's interval


def headline_metrics(
    predicted: Integers, targets: Integers, classes: int, settings: Evaluate, seed: int
) -> dict[str, float]:
    """The values of ``COLUMNS``; NaN where n images allow no interval: every number has one.

    Args:
        predicted: (n,), n at least 1.
        targets: (n,).
        classes: their number.
        settings: section ``evaluate``.
        seed: decides the resamples.
    """
    values = classification.from_counts(classification.count(targets, predicted, classes))
    limits = bootstrap_answers(
        predicted,
        targets,
        classes,
        resamples=settings.bootstrap,
        confidence=settings.confidence,
        seed=seed,
    )
    found: dict[str, float] = {}
    for metric in HEADLINE:
        numbers = (float(values[metric]), limits[metric].low, limits[metric].high)
        known = metric == "accuracy" or (len(targets) >= FEW and not math.isnan(limits[metric].low))
        found |= zip(with_limits(f"test/{metric}"), numbers if known else [math.nan] * 3, strict=True)
    return found
