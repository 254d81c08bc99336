"""What a function of the inputs can say of the base and its variants.

Validation figures choose, test figures are only reported; neither is computed from the other's images.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from src.config.schema.evaluate import Evaluate
from src.data.dataset.index import HeldOutRows
from src.evaluation.metrics.calibration import calibration_error
from src.evaluation.metrics.classification import Integers, softmax
from src.leaderboard.comparison.change_interval import change_interval, mean_interval
from src.leaderboard.comparison.variants import Model, VariantPredictions, size_figures
from src.leaderboard.table.rows import BASE, FIGURES, LeaderboardRow
from src.leaderboard.table.significance import Right, accuracy_change, mcnemar


def compare(
    base: Model,
    variants: Sequence[VariantPredictions],
    held: HeldOutRows,
    settings: Evaluate,
    seed: int,
    advance: Callable[[int], None],
) -> list[LeaderboardRow]:
    """The base's row, then one for each variant in its order; ``advance`` is told of each."""
    rows = []
    for contender in (VariantPredictions(BASE, (), base), *variants):
        model = contender.model
        figures = {} if model is None else _figures(base, model, held, settings, seed)
        rows.append(LeaderboardRow(contender.name, contender.steps, figures, contender.reason))
        advance(1)
    return rows


def _figures(base: Model, model: Model, held: HeldOutRows, settings: Evaluate, seed: int) -> dict[str, float]:
    test = ~held.validation
    figures = {
        **_validation_metrics(base, model, held.targets, held.validation, settings, seed),
        **_test_metrics(base, model, held.targets, test, settings, seed),
        "agreement": float(np.mean((_predictions(model) == _predictions(base))[held.validation])),
        "calibration_error": calibration_error(
            softmax(model.logits[test]), held.targets[test], settings.calibration_bins
        ),
        **size_figures(model.size),
        "size_ratio": base.size.bytes / model.size.bytes,
    }
    return {key: figures[key] for key in FIGURES if key in figures}


def _validation_metrics(
    base: Model, model: Model, targets: Integers, rows: NDArray[np.bool_], settings: Evaluate, seed: int
) -> dict[str, float]:
    """What a choice may look at."""
    before, after = _correct(base, targets, rows), _correct(model, targets, rows)
    change = {} if model is base else _change(before, after, settings, seed)
    return {"val_accuracy": float(after.mean()), **{f"val_{key}": value for key, value in change.items()}}


def _test_metrics(
    base: Model, model: Model, targets: Integers, rows: NDArray[np.bool_], settings: Evaluate, seed: int
) -> dict[str, float]:
    """What nothing may be chosen by."""
    before, after = _correct(base, targets, rows), _correct(model, targets, rows)
    limits = mean_interval(
        after.astype(np.float64),
        resamples=settings.bootstrap,
        confidence=settings.confidence,
        seed=seed,
    )
    change = {} if model is base else _change(before, after, settings, seed)
    return {
        "test_accuracy": float(after.mean()),
        "test_accuracy_low": limits.low,
        "test_accuracy_high": limits.high,
        **{f"test_{key}": value for key, value in change.items()},
    }


def _change(before: Right, after: Right, settings: Evaluate, seed: int) -> dict[str, float]:
    """Of the accuracy against the base."""
    limits = change_interval(
        before, after, resamples=settings.bootstrap, confidence=settings.confidence, seed=seed
    )
    return {
        "change": accuracy_change(before, after),
        "change_low": limits.low,
        "change_high": limits.high,
        "mcnemar_p": mcnemar(before, after),
    }


def _predictions(model: Model) -> Integers:
    return np.asarray(model.logits.argmax(axis=1), dtype=np.int64)


def _correct(model: Model, targets: Integers, rows: NDArray[np.bool_]) -> Right:
    return np.asarray((_predictions(model) == targets)[rows])
