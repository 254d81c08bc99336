"""Everything that is said about a model's test predictions, in one place: ``metrics.json`` comes from it."""

import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from src.config.schema.evaluate import Evaluate
from src.evaluation.metrics import bootstrap, classification
from src.evaluation.metrics.bootstrap import Interval
from src.evaluation.metrics.classification import ConfusionCounts, Floats, Integers


@dataclass(frozen=True)
class Report:
    """Figures of n test rows over K classes. NaN: undefined, and ``notes`` has the reason."""

    classes: list[str]
    targets: Integers  # (n,)
    probabilities: Floats  # (n, K)
    predicted: Integers  # (n,)
    counts: ConfusionCounts
    metrics: dict[str, float]
    intervals: dict[str, Interval]
    areas: dict[str, Floats]  # roc_auc and average_precision of each class, (K,)
    notes: list[str]
    confidence: float  # of the intervals

    def wilson(self) -> Interval:
        """Of the accuracy."""
        hits = int((self.predicted == self.targets).sum())
        return bootstrap.wilson(hits, len(self.targets), self.confidence)

    def to_json(self) -> str:
        """``{"accuracy": {"value": …, "low": …, "high": …}, …}``; undefined is null."""
        wilson = self.wilson()
        content: dict[str, object] = {"images": len(self.targets)}
        for name, value in self.metrics.items():
            limits = self.intervals.get(name, Interval(np.nan, np.nan))
            content[name] = {
                "value": _number(value),
                "low": _number(limits.low),
                "high": _number(limits.high),
            }
            if name == "accuracy":
                content["accuracy_wilson"] = {"low": wilson.low, "high": wilson.high}
        # a list, because `dvc metrics show` leaves lists out of its table
        return json.dumps({**content, "notes": self.notes}, indent=2, ensure_ascii=False) + "\n"

    def to_metrics(self) -> dict[str, float]:
        """``test/accuracy``, ``test/accuracy_low``, …: those that are defined."""
        named = {f"test/{name}": value for name, value in self.metrics.items()}
        for name, limits in self.intervals.items():
            named |= {f"test/{name}_low": limits.low, f"test/{name}_high": limits.high}
        return {name: value for name, value in named.items() if np.isfinite(value)}

    def sentence(self) -> str:
        """The one line for the terminal."""
        limits, name = self.intervals["accuracy"], ""
        if limits.low == limits.high:  # nothing to resample: all right, or all wrong
            limits, name = self.wilson(), "Wilson "
        return (
            f"Test accuracy {self.metrics['accuracy']:.4f}, {name}{100 * self.confidence:.4g}% interval "
            f"{limits.low:.3f} to {limits.high:.3f}, {len(self.targets):,} images"
        )


def make_report(
    probabilities: Floats,
    targets: Integers,
    classes: list[str],
    settings: Evaluate,
    seed: int,
    advance: Callable[[int], None],
) -> Report:
    """Compute it all. ``probabilities``: (n, K), ``targets``: (n,), n at least 1.

    ``advance`` is told of each batch of bootstrap resamples done.
    """
    predicted = classification.predict(probabilities)
    figures = classification.summary(probabilities, targets, settings.top_k, settings.calibration_bins)
    found = bootstrap.bootstrap(
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
        metrics=figures,
        intervals=found,
        areas=classification.curve_areas(probabilities, targets),
        notes=_notes(figures, found, targets, classes, settings),
        confidence=settings.confidence,
    )


def _notes(
    metrics: dict[str, float],
    found: dict[str, Interval],
    targets: Integers,
    classes: list[str],
    settings: Evaluate,
) -> list[str]:
    notes = [
        f"low and high: percentile bootstrap over the test images, {settings.bootstrap} resamples, "
        f"{settings.confidence:.4g} confidence; accuracy_wilson: Wilson's score interval"
    ]
    reasons = classification.undefined_reasons(metrics, targets, classes, settings.top_k)
    notes += [f"{name}: {reason}" for name, reason in reasons.items()]
    for name, value in metrics.items():
        if name not in found:
            notes.append(f"{name}: no interval, there are too many images x classes for the bootstrap")
        elif found[name].undefined and not np.isnan(value):
            notes.append(
                f"{name}: undefined in {found[name].undefined} resamples, which its interval leaves out"
            )
    return notes


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value
