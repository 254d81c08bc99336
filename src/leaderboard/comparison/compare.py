"""Compares variants with their base, as far as the result is a function of the inputs.

Validation metrics choose, test metrics are only reported; neither is computed from the other's images.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from src.config.schema.evaluate import Evaluate
from src.core.metric_names import with_limits
from src.data.dataset.index import HeldOutRows
from src.evaluation.metrics.calibration import calibration_error
from src.evaluation.metrics.classification import Integers, count, from_counts, softmax
from src.evaluation.uncertainty.intervals import Interval, wilson
from src.leaderboard.comparison.variants import MeasuredModel, VariantPredictions
from src.leaderboard.table.rows import BASE, CHANGE, METRICS, RATIO, LeaderboardRow
from src.leaderboard.table.significance import Correct, accuracy_change, change_interval, mcnemar


def compare(
    base: MeasuredModel,
    variants: Sequence[VariantPredictions],
    held: HeldOutRows,
    settings: Evaluate,
    advance: Callable[[int], None],
) -> list[LeaderboardRow]:
    """The row of the base, then one for each variant, in order.

    Args:
        base: what all are compared with.
        variants: their predictions, or why they failed.
        held: the images that were predicted.
        settings: section ``evaluate``.
        advance: called after each row.
    """
    rows = []
    for variant in (VariantPredictions(BASE, (), base), *variants):
        model = variant.model
        metrics = {} if model is None else _metrics(base, model, held, settings)
        rows.append(LeaderboardRow(variant.name, variant.steps, metrics, variant.reason))
        advance(1)
    return rows


def _metrics(
    base: MeasuredModel, model: MeasuredModel, held: HeldOutRows, settings: Evaluate
) -> dict[str, float]:
    """In the order of the columns."""
    found = {
        **_validation_metrics(base, model, held, settings),
        **_test_metrics(base, model, held, settings),
        **model.size.to_metrics(),
        RATIO: base.size.bytes / model.size.bytes,
    }
    return {name: found[name] for name in METRICS if name in found}


def _validation_metrics(
    base: MeasuredModel, model: MeasuredModel, held: HeldOutRows, settings: Evaluate
) -> dict[str, float]:
    """Metrics that choices may depend on."""
    val = held.validation
    before, after = _correct(base, held.targets, val), _correct(model, held.targets, val)
    return {
        "val/accuracy": float(after.mean()),
        **({} if model is base else _change("val", before, after, settings)),
        "val/agreement": float(np.mean((_predictions(model) == _predictions(base))[val])),
    }


def _test_metrics(
    base: MeasuredModel, model: MeasuredModel, held: HeldOutRows, settings: Evaluate
) -> dict[str, float]:
    """Metrics that no choice may depend on."""
    test = ~held.validation
    before, after = _correct(base, held.targets, test), _correct(model, held.targets, test)
    limits = wilson(int(after.sum()), len(after), settings.confidence)
    counts = count(held.targets[test], _predictions(model)[test], model.logits.shape[1])
    return {
        **_named("test/accuracy", float(after.mean()), limits),
        "test/recall_min": float(from_counts(counts)["recall_min"]),
        **({} if model is base else _change("test", before, after, settings)),
        "test/calibration_error": calibration_error(
            softmax(model.logits[test]), held.targets[test], settings.calibration_bins
        ),
    }


def _change(split: str, before: Correct, after: Correct, settings: Evaluate) -> dict[str, float]:
    """Of the accuracy, against the base."""
    limits = change_interval(before, after, settings.confidence)
    change = _named(CHANGE.format(split), accuracy_change(before, after), limits)
    return {**change, f"{split}/mcnemar_p": mcnemar(before, after)}


def _named(name: str, value: float, limits: Interval) -> dict[str, float]:
    return dict(zip(with_limits(name), (value, limits.low, limits.high), strict=True))


def _predictions(model: MeasuredModel) -> Integers:
    return np.asarray(model.logits.argmax(axis=1), dtype=np.int64)


def _correct(model: MeasuredModel, targets: Integers, rows: NDArray[np.bool_]) -> Correct:
    return np.asarray((_predictions(model) == targets)[rows])
