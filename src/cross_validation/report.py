"""The metrics of a cross-validation: of each fold, over the folds, and of all held-out predictions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from src.config.schema.evaluate import Evaluate
from src.core.metric_names import metric_of, nest
from src.cross_validation.intervals import corrected_resampled, student_t
from src.evaluation.metrics import classification
from src.evaluation.metrics.classification import Floats, Integers
from src.evaluation.report.report import Report
from src.evaluation.uncertainty.intervals import ROUNDING, Interval

SCOPE = "cv"
# How the settings were chosen, and what that means for the metrics.
SELECTION = {
    "none": "selection none: the settings were given, so no fold helped to choose them",
    "non-nested": (
        "selection non-nested: the sweep chose the settings on validation images that are in the folds, so "
        "the metrics are slightly optimistic; cross_validate.nested=true repeats the search in each fold"
    ),
    "nested": (
        "selection nested: each fold's settings were searched inside its training part, so its own images "
        "did not help to choose them; the metrics are those of the whole procedure, search included"
    ),
}


@dataclass(frozen=True)
class FoldPredictions:
    """The predictions for the images of one fold, by a model that has not seen them."""

    repeat: int
    fold: int
    ids: Integers  # (n,) rows of the image array
    targets: Integers  # (n,)
    probabilities: Floats  # (n, K)
    train_images: int
    val_images: int  # also of the training part: they chose the epoch
    epoch: int  # the chosen one
    epochs: int  # trained in all
    about: dict[str, Any]  # last columns of the table of folds


@dataclass(frozen=True)
class Spread:
    """A metric over the folds. NaN: undefined in all folds, or in all but one."""

    mean: float
    std: float  # of the folds, divided by their number - 1
    student: Interval
    corrected: Interval
    undefined: int  # folds that were left out


@dataclass(frozen=True)
class CrossValidationReport:
    """Everything that is reported of F folds (of all repeats), in their order."""

    folds: Sequence[FoldPredictions]
    metrics: dict[str, Floats]  # of each fold, (F,), by their names below the scope
    spreads: dict[str, Spread]
    pooled: Report  # of all held-out images, each once, without intervals
    selection: str  # none, non-nested or nested
    confidence: float
    notes: list[str]

    @property
    def repeats(self) -> int:
        """How often all images were divided into folds."""
        return len({fold.repeat for fold in self.folds})

    def to_metrics(self) -> dict[str, float]:
        """``cv/accuracy`` (the mean), ``cv/accuracy/std``, ``cv/accuracy/low``, …: those that are defined."""
        return {name: value for name, value in self._named().items() if np.isfinite(value)}

    def to_json(self) -> dict[str, Any]:
        """The content of ``metrics.json``: metrics nested by the parts of their names; undefined is null."""
        about = {
            "selection": self.selection,
            "folds": len(self.folds) // self.repeats,
            "repeats": self.repeats,
            "images": len(self.pooled.targets),
        }
        numbers = {name: None if np.isnan(value) else value for name, value in self._named().items()}
        return {**about, **nest(numbers), "notes": self.notes}

    def sentence(self) -> str:
        """One line for the terminal."""
        accuracy = self.spreads["accuracy"]
        folds = f"{len(self.folds) // self.repeats} folds"
        interval = (
            f", {100 * self.confidence:.4g}% interval {accuracy.student.low:.3f} to "
            f"{accuracy.student.high:.3f} (corrected {accuracy.corrected.low:.3f} to "
            f"{accuracy.corrected.high:.3f})"
        )
        return (
            f"accuracy {accuracy.mean:.4f} ± {accuracy.std:.4f} over {folds}"
            + (f" x {self.repeats} repeats" if self.repeats > 1 else "")
            + (interval if np.isfinite(accuracy.student.low) else "")
            + f", selection: {self.selection}"
        )

    def _named(self) -> dict[str, float]:
        named: dict[str, float] = {}
        for metric, spread in self.spreads.items():
            name = f"{SCOPE}/{metric}"
            named |= {name: spread.mean} | {f"{name}/{part}": value for part, value in _parts(spread).items()}
            named[f"{name}/out_of_fold"] = self.pooled.metrics[metric]
        return named


def cross_validation(
    folds: Sequence[FoldPredictions], classes: list[str], selection: str, settings: Evaluate
) -> CrossValidationReport:
    """Compute the report. ``folds``: those of each repeat hold the same images, each once."""
    rows = [
        classification.summary(fold.probabilities, fold.targets, settings.top_k, settings.calibration_bins)
        for fold in folds
    ]
    metrics = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    share = share_of_tested(folds)
    spreads = {name: _spread(name, values, share, settings.confidence) for name, values in metrics.items()}
    pooled = pool(folds, classes, settings)
    notes = _notes(spreads, pooled, selection, share, settings)
    return CrossValidationReport(folds, metrics, spreads, pooled, selection, settings.confidence, notes)


def share_of_tested(folds: Sequence[FoldPredictions]) -> float:
    """Test images per image of the training part, as the mean over the folds."""
    return sum(len(fold.ids) for fold in folds) / sum(fold.train_images + fold.val_images for fold in folds)


def pool(folds: Sequence[FoldPredictions], classes: list[str], settings: Evaluate) -> Report:
    """All held-out images in the order of their rows; with repeats, each has its mean probabilities."""
    ids = np.concatenate([fold.ids for fold in folds])
    rows, place = np.unique(ids, return_inverse=True)
    targets, sums = np.empty(len(rows), dtype=np.int64), np.zeros((len(rows), len(classes)))
    targets[place] = np.concatenate([fold.targets for fold in folds])
    np.add.at(sums, place, np.concatenate([fold.probabilities for fold in folds]))
    probabilities = sums / np.bincount(place)[:, None]
    predicted = classification.predict(probabilities)
    return Report(
        classes=classes,
        targets=targets,
        probabilities=probabilities,
        predicted=predicted,
        counts=classification.count(targets, predicted, len(classes)),
        metrics=classification.summary(probabilities, targets, settings.top_k, settings.calibration_bins),
        intervals={},
        areas=classification.curve_areas(probabilities, targets),
        notes=[],
        confidence=settings.confidence,
    )


def _spread(name: str, values: Floats, share: float, confidence: float) -> Spread:
    known, possible = values[~np.isnan(values)], metric_of(f"{SCOPE}/{name}").range
    return Spread(
        mean=float(known.mean()) if len(known) else np.nan,
        std=float(known.std(ddof=1)) if len(known) > 1 else np.nan,
        student=student_t(known, confidence, possible),
        corrected=corrected_resampled(known, share, confidence, possible),
        undefined=len(values) - len(known),
    )


def _parts(spread: Spread) -> dict[str, float]:
    return {
        "std": spread.std,
        "low": spread.student.low,
        "high": spread.student.high,
        "corrected_low": spread.corrected.low,
        "corrected_high": spread.corrected.high,
    }


def _notes(
    spreads: dict[str, Spread], pooled: Report, selection: str, share: float, settings: Evaluate
) -> list[str]:
    percent = f"{100 * settings.confidence:.4g}%"
    notes = [
        SELECTION[selection],
        f"low and high: {percent} limits by Student's t, as if the folds were independent; they share "
        "training images, so these are too narrow",
        f"corrected_low and corrected_high: {percent} limits of the corrected resampled t (Nadeau and "
        f"Bengio, 2003), with {share:.4g} test images per training image",
        "out_of_fold: of all held-out predictions together; with repeats, of their mean probabilities",
    ]
    reasons = classification.undefined_reasons(pooled.metrics, pooled.targets, pooled.classes, settings.top_k)
    notes += [f"{name}: {reason}" for name, reason in reasons.items()]
    for name, spread in spreads.items():
        if spread.undefined:
            notes.append(f"{name}: undefined in {spread.undefined} folds, which are left out")
        if spread.std < ROUNDING:
            notes.append(f"{name}: no interval, because all folds have the same value")
    return notes
