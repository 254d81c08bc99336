"""Everything that is reported about a model's predictions; ``metrics.json`` comes from it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from src.config.schema.evaluate import Evaluate
from src.core.metric_names import nest, with_limits
from src.core.wording import counted, listed
from src.evaluation.metrics import classification
from src.evaluation.metrics.calibration import calibration_error
from src.evaluation.metrics.classification import ConfusionCounts, Floats, Integers
from src.evaluation.predictions import Predictions
from src.evaluation.uncertainty import bootstrap
from src.evaluation.uncertainty.intervals import UNKNOWN, Interval

SCOPE = "test"
# The few that `dvc metrics show` and `dvc exp show` have room for, side by side in 120 columns.
SUMMARY = ("accuracy", "balanced_accuracy", "f1_macro", "calibration_error")
SHOWN = 10  # classes named in one line


@dataclass(frozen=True)
class Report:
    """Metrics of n images over K classes. NaN: undefined, and ``notes`` has the reason."""

    classes: list[str]
    targets: Integers  # (n,)
    probabilities: Floats  # (n, K)
    predicted: Integers  # (n,)
    counts: ConfusionCounts
    metrics: dict[str, float]  # by their names below the scope
    intervals: dict[str, Interval]
    areas: dict[str, Floats]  # roc_auc and average_precision of each class, (K,)
    notes: list[str]
    confidence: float  # of the intervals
    uncalibrated: dict[str, float] = field(default_factory=dict)  # without temperature scaling
    further: dict[str, float] = field(default_factory=dict)  # of corruptions and subgroups, by their names

    def to_metrics(self) -> dict[str, float]:
        """``test/accuracy``, ``test/accuracy/low``, …: those that are defined."""
        return {name: value for name, value in self._named().items() if np.isfinite(value)}

    def to_json(self) -> dict[str, Any]:
        """The content of ``metrics.json``: metrics nested by the parts of their names; undefined is null."""
        numbers = {name: None if np.isnan(value) else value for name, value in self._named().items()}
        return {"images": len(self.targets), **nest(numbers), "notes": self.notes}

    def summary(self) -> dict[str, float]:
        """The content of ``summary.json``: the metrics that DVC shows."""
        return {name: self.metrics[name] for name in SUMMARY}

    def sentence(self) -> str:
        """One line for the terminal."""
        limits = self.intervals["accuracy"]
        return (
            f"Test accuracy {self.metrics['accuracy']:.4f}, {100 * self.confidence:.4g}% interval "
            f"{limits.low:.3f} to {limits.high:.3f}, {counted(len(self.targets), 'image')}; macro F1 "
            f"{self.metrics['f1_macro']:.4f}{self._never_right()}{self._calibration()}"
        )

    def never_right(self) -> list[str]:
        """The classes with test images, none of which is predicted as its class: accuracy can hide them."""
        lost = (self.counts.actual > 0) & (self.counts.hits == 0)
        return [name for name, never in zip(self.classes, lost, strict=True) if never]

    def _never_right(self) -> str:
        names = self.never_right()
        if not names:
            return ""
        verb, shown = "is" if len(names) == 1 else "are", listed(names, SHOWN)
        return f"; {len(names)} of {counted(len(self.classes), 'class')} {verb} never right: {shown}"

    def _calibration(self) -> str:
        if not self.uncalibrated:
            return ""
        before, after = self.uncalibrated["calibration_error"], self.metrics["calibration_error"]
        return f"; calibration error {after:.4f} ({before:.4f} without temperature scaling)"

    def _named(self) -> dict[str, float]:
        named: dict[str, float] = {}
        for name, value in self.metrics.items():
            limits = self.intervals.get(name, UNKNOWN)
            named |= zip(with_limits(f"{SCOPE}/{name}"), (value, limits.low, limits.high), strict=True)
        named |= {f"{SCOPE}/{name}/uncalibrated": value for name, value in self.uncalibrated.items()}
        return named | self.further


def make_report(tested: Predictions, settings: Evaluate, seed: int, advance: Callable[[int], None]) -> Report:
    """Compute all metrics and their intervals.

    Args:
        tested: predictions for n images, n at least 1.
        settings: section ``evaluate``.
        seed: decides the resamples.
        advance: called with the number of resamples in each finished block.
    """
    probabilities, targets, classes = tested.probabilities, tested.targets, tested.classes
    predicted = classification.predict(probabilities)
    metrics = classification.summary(probabilities, targets, settings.top_k, settings.calibration_bins)
    intervals = bootstrap.bootstrap(
        probabilities,
        targets,
        top_k=settings.top_k,
        bins=settings.calibration_bins,
        resamples=settings.bootstrap,
        confidence=settings.confidence,
        seed=seed,
        advance=advance,
    )
    return Report(
        classes=classes,
        targets=targets,
        probabilities=probabilities,
        predicted=predicted,
        counts=classification.count(targets, predicted, len(classes)),
        metrics=metrics,
        intervals=intervals,
        areas=classification.curve_areas(probabilities, targets),
        notes=_notes(metrics, intervals, targets, classes, settings),
        confidence=settings.confidence,
        uncalibrated=_uncalibrated(tested, settings.calibration_bins),
    )


def _uncalibrated(tested: Predictions, bins: int) -> dict[str, float]:
    """The metrics of the probabilities before temperature scaling; empty without it."""
    if tested.uncalibrated is None:
        return {}
    return {
        "calibration_error": calibration_error(tested.uncalibrated, tested.targets, bins),
        "brier": float(classification.brier_scores(tested.uncalibrated, tested.targets).mean()),
        "log_loss": float(classification.log_losses(tested.uncalibrated, tested.targets).mean()),
    }


def _notes(
    metrics: dict[str, float],
    intervals: dict[str, Interval],
    targets: Integers,
    classes: list[str],
    settings: Evaluate,
) -> list[str]:
    notes = [
        f"low and high: {100 * settings.confidence:.4g}% limits, of accuracy, top-k accuracy and weighted "
        "recall by Wilson's score interval, of the others by a percentile bootstrap over the test images, "
        f"{settings.bootstrap} resamples"
    ]
    reasons = classification.undefined_reasons(metrics, targets, classes, settings.top_k)
    notes += [f"{name}: {reason}" for name, reason in reasons.items()]
    for name, value in metrics.items():
        if name not in intervals:
            notes.append(f"{name}: no interval, because images x classes are too many for the bootstrap")
        elif np.isnan(intervals[name].low) and not np.isnan(value):
            notes.append(f"{name}: no interval, because all resamples give the same value")
        elif intervals[name].undefined and not np.isnan(value):
            notes.append(
                f"{name}: undefined in {intervals[name].undefined} resamples, which its interval leaves out"
            )
    return notes
