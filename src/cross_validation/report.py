"""The figures of a cross-validation: of each fold, over the folds, and of all held-out predictions."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from src.config.schema.evaluate import Evaluate
from src.cross_validation.intervals import corrected_resampled, student_t
from src.evaluation.metrics import classification
from src.evaluation.metrics.bootstrap import Interval
from src.evaluation.metrics.classification import Floats, Integers
from src.evaluation.report.report import Report

# How the settings were chosen, and what that means for the figures.
SELECTION = {
    "none": "selection none: the settings were given, so no fold had a part in choosing them",
    "non-nested": (
        "selection non-nested: the sweep chose the settings on validation images that lie in the folds, so "
        "the figures are slightly optimistic; cross_validate.nested=true repeats the search in each fold"
    ),
    "nested": (
        "selection nested: each fold's settings were searched inside its training part, so its images had "
        "no part in choosing them; the figures are those of the whole procedure, search included"
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
    val_images: int  # of the training part too: they chose the epoch
    epoch: int  # that was chosen
    epochs: int  # trained in all
    about: dict[str, Any]  # last columns of the table of folds


@dataclass(frozen=True)
class Spread:
    """A figure over the folds. NaN: undefined in all folds, or in all but one."""

    mean: float
    std: float  # of the folds, divided by their number - 1
    student: Interval
    corrected: Interval
    undefined: int  # folds that were left out


@dataclass(frozen=True)
class CrossValidationReport:
    """Everything that is said about F folds (of all repeats), in their order."""

    folds: Sequence[FoldPredictions]
    metrics: dict[str, Floats]  # of each fold, (F,)
    spreads: dict[str, Spread]
    pooled: Report  # of all held-out images, each once, without intervals
    selection: str  # none, non-nested or nested
    confidence: float
    notes: list[str]

    @property
    def repeats(self) -> int:
        """How often all images were divided into folds."""
        return len({fold.repeat for fold in self.folds})

    def to_json(self) -> str:
        """``{"folds": 5, …, "accuracy": {"mean": …, "std": …, …}, …, "out_of_fold": {…}}``."""
        content: dict[str, object] = {
            "selection": self.selection,
            "folds": len(self.folds) // self.repeats,
            "repeats": self.repeats,
            "images": len(self.pooled.targets),
        }
        content |= {name: _plain(_named(spread)) for name, spread in self.spreads.items()}
        content |= {"out_of_fold": _plain(self.pooled.metrics), "notes": self.notes}
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"

    def to_metrics(self) -> dict[str, float]:
        """``cv/accuracy`` (the mean), ``cv/accuracy_std``, ``cv/accuracy_low``, …,
        ``cv/out_of_fold_accuracy``, …: those that are defined."""
        named = {}
        for figure, spread in self.spreads.items():
            for part, value in _named(spread).items():
                named["cv/" + (figure if part == "mean" else f"{figure}_{part}")] = value
        named |= {f"cv/out_of_fold_{name}": value for name, value in self.pooled.metrics.items()}
        return {name: value for name, value in named.items() if np.isfinite(value)}

    def sentence(self) -> str:
        """The one line for the terminal."""
        accuracy = self.spreads["accuracy"]
        folds = f"{len(self.folds) // self.repeats} folds"
        return (
            f"accuracy {accuracy.mean:.4f} ± {accuracy.std:.4f} over {folds}"
            + (f" x {self.repeats} repeats" if self.repeats > 1 else "")
            + f", {100 * self.confidence:.4g}% interval {accuracy.student.low:.3f} to "
            f"{accuracy.student.high:.3f} (corrected {accuracy.corrected.low:.3f} to "
            f"{accuracy.corrected.high:.3f}), selection: {self.selection}"
        )


def cross_validation(
    folds: Sequence[FoldPredictions], classes: list[str], selection: str, settings: Evaluate
) -> CrossValidationReport:
    """Compute it all. ``folds``: those of each repeat hold the same images, each once."""
    rows = [
        classification.summary(fold.probabilities, fold.targets, settings.top_k, settings.calibration_bins)
        for fold in folds
    ]
    figures = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    share = share_of_tested(folds)
    spreads = {name: _spread(values, share, settings.confidence) for name, values in figures.items()}
    pooled = pool(folds, classes, settings)
    notes = _notes(spreads, pooled, selection, share, settings)
    return CrossValidationReport(folds, figures, spreads, pooled, selection, settings.confidence, notes)


def share_of_tested(folds: Sequence[FoldPredictions]) -> float:
    """Images that test over images of the training part, in the mean over the folds."""
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


def _spread(values: Floats, share: float, confidence: float) -> Spread:
    known = values[~np.isnan(values)]
    return Spread(
        mean=float(known.mean()) if len(known) else np.nan,
        std=float(known.std(ddof=1)) if len(known) > 1 else np.nan,
        student=student_t(known, confidence),
        corrected=corrected_resampled(known, share, confidence),
        undefined=len(values) - len(known),
    )


def _named(spread: Spread) -> dict[str, float]:
    return {
        "mean": spread.mean,
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
        f"Bengio, 2003), with {share:.4g} test images for each training image. Limits may lie beyond what a "
        "figure can be",
        "out_of_fold: all held-out predictions together; with repeats, of the mean probabilities",
    ]
    reasons = classification.undefined_reasons(pooled.metrics, pooled.targets, pooled.classes, settings.top_k)
    notes += [f"{name}: {reason}" for name, reason in reasons.items()]
    return notes + [
        f"{name}: undefined in {spread.undefined} folds, which are left out"
        for name, spread in spreads.items()
        if spread.undefined
    ]


def _plain(values: dict[str, float]) -> dict[str, float | None]:
    """Undefined is null."""
    return {name: None if np.isnan(value) else value for name, value in values.items()}
