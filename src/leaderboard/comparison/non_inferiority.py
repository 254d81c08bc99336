"""Is one model as good as another, up to a margin? Non-inferiority on the same images.

A model that is not significantly worse may still be much worse: few images show little. So the burden of
proof is reversed. The hypothesis is "the loss is at least the margin", and a model is non-inferior if a
one-sided test rejects it, that is, if and only if the upper limit of the loss lies within the margin.

The loss in accuracy has the limit of Tango's score interval. The loss in any other metric has that of a
percentile bootstrap in which both models get the same resamples. A bootstrap of models that (nearly) always
agree is degenerate: its limit is too low, because it never draws a disagreement that was not seen. So it is
refused.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from src.core.metric_names import class_of, metric_of
from src.leaderboard.table.significance import FEW, Discordance, discordance, loss_limit, loss_p

Logits = NDArray[np.float32]  # (n, K)
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class NonInferiorityRule:
    """What a model must show, as section ``register.policy`` states it."""

    metric: str  # of validation images, such as val/accuracy
    margin: float  # largest acceptable loss
    level: float  # of the one-sided test
    resamples: int  # of the bootstrap
    top_k: int  # of val/top_k_accuracy
    bins: int  # of val/calibration_error
    seed: int  # decides the resamples
    classes: Sequence[str] = ()  # K names, for a metric of one class


class Loss(Protocol):
    """By how much a metric is worse after than before, positive if it is."""

    @property
    def value(self) -> float: ...

    @property
    def evidence(self) -> str:
        """What it was computed from, in words."""

    def p(self, margin: float) -> float:
        """One-sided p value of "the loss is at least ``margin``"."""

    def limit(self, level: float) -> float:
        """Upper limit with one-sided confidence 1 - ``level``; infinite if the images cannot show one."""


@dataclass(frozen=True)
class AccuracyLoss:
    """From the images on which exactly one of the two is correct."""

    counts: Discordance

    @property
    def value(self) -> float:
        return self.counts.loss

    @property
    def evidence(self) -> str:
        return f"{self.counts.lost} lost and {self.counts.won} won of {self.counts.images} validation images"

    def p(self, margin: float) -> float:
        return loss_p(self.counts, margin)

    def limit(self, level: float) -> float:
        return loss_limit(self.counts, level)


@dataclass(frozen=True)
class ResampledLoss:
    """From resamples of the images, the same for both models."""

    value: float
    resampled: Floats  # (r,) ascending
    images: int

    @property
    def evidence(self) -> str:
        return f"{len(self.resampled)} paired resamples of {self.images} validation images"

    def p(self, margin: float) -> float:
        worse = len(self.resampled) - np.searchsorted(self.resampled, margin)
        return float(1 + worse) / (1 + len(self.resampled))

    def limit(self, level: float) -> float:
        allowed = math.floor(level * (1 + len(self.resampled)) * (1 + 1e-12))  # of them may be worse, and one
        return float(self.resampled[-allowed]) if allowed else math.inf


@dataclass(frozen=True)
class UnknownLoss:
    """The images cannot tell."""

    evidence: str  # why
    value: float = math.nan

    def p(self, margin: float) -> float:  # like the others
        return 1.0

    def limit(self, level: float) -> float:  # like the others
        return math.inf


@dataclass(frozen=True)
class Verdict:
    """Whether a model is non-inferior, and the numbers that say so."""

    passed: bool
    loss: float
    limit: float  # within the margin exactly if it passed
    level: float  # of this test, after Holm's correction
    reason: str


def measure_loss(before: Logits, after: Logits, targets: Integers, rule: NonInferiorityRule) -> Loss:
    """The loss from the model ``before`` to the one ``after``, whose logits (n, K) are of the same images."""
    answers = before.argmax(axis=1), after.argmax(axis=1)
    if rule.metric == "val/accuracy":
        return AccuracyLoss(discordance(*(answer == targets for answer in answers)))
    differ = int(
        np.any(before != after, axis=1).sum() if _is_soft(rule.metric) else np.sum(answers[0] != answers[1])
    )
    if differ < FEW:
        return UnknownLoss(
            f"a bootstrap of {rule.metric} is degenerate: the models differ on {differ} of {len(targets)} "
            f"validation images, and must on {FEW} at least. val/accuracy needs no such difference"
        )
    return _resampled_loss(before, after, targets, rule)


def judge(losses: Mapping[str, Loss], rule: NonInferiorityRule) -> dict[str, Verdict]:
    """Judge all models together, so that the chance of accepting any inferior one is at most ``rule.level``.

    Holm's step-down procedure (1979): the smallest of m p values must not exceed level / m, the next one
    level / (m - 1), …, and after the first that does nothing passes.
    """
    found, holds, step = {}, True, rule.level
    p_values = {name: loss.p(rule.margin) for name, loss in losses.items()}
    for place, name in enumerate(sorted(losses, key=lambda name: (p_values[name], name))):
        step = rule.level / (len(losses) - place) if holds else step
        holds = holds and p_values[name] <= step
        found[name] = _verdict(losses[name], rule, step, holds)
    return {name: found[name] for name in losses}


def smallest_limit(images: int, level: float) -> float:
    """The limit of the loss in accuracy for a model that has neither lost nor won an image."""
    return loss_limit(Discordance(0, 0, images), level)


def fewest_images(margin: float, level: float) -> int:
    """The smallest number of images at which :func:`smallest_limit` is within ``margin``."""
    return math.ceil(float(ndtri(level)) ** 2 * (1 - margin) / margin)


def _is_soft(metric: str) -> bool:
    """Whether a metric depends on the probabilities, not only on the predicted classes."""
    soft = {"top_k_accuracy", "roc_auc", "average_precision", "log_loss", "brier", "calibration_error"}
    return metric.partition("/")[2] in soft


def _resampled_loss(before: Logits, after: Logits, targets: Integers, rule: NonInferiorityRule) -> Loss:
    sign = 1 if metric_of(rule.metric).direction == "minimize" else -1
    (value_before, drawn_before), (value_after, drawn_after) = (
        _metric(logits, targets, rule) for logits in (before, after)
    )
    value, losses = sign * (value_after - value_before), sign * (drawn_after - drawn_before)
    if math.isnan(value) or not len(losses):
        return UnknownLoss(f"{rule.metric} is undefined for these {len(targets)} validation images")
    if np.isnan(losses).any():
        return UnknownLoss(
            f"a bootstrap of {rule.metric} is degenerate: it is undefined in {np.isnan(losses).sum()} of "
            f"{len(losses)} resamples of {len(targets)} validation images"
        )
    return ResampledLoss(value, np.sort(losses), len(targets))


def _metric(logits: Logits, targets: Integers, rule: NonInferiorityRule) -> tuple[float, Floats]:
    """The metric, NaN if undefined, and what it is on the resamples, empty if there are too many classes."""
    from src.evaluation.metrics import by_name, classification  # they import torch
    from src.evaluation.uncertainty import bootstrap

    probabilities, of_class = classification.softmax(logits), class_of(rule.metric)
    classes = rule.classes or [str(number) for number in range(logits.shape[1])]
    value = by_name.metric_value(rule.metric, probabilities, targets, classes, rule.top_k, rule.bins)
    drawn = bootstrap.resample(
        probabilities,
        targets,
        top_k=rule.top_k,
        bins=rule.bins,
        resamples=rule.resamples,
        seed=rule.seed,
        of_class=None if of_class is None else list(classes).index(of_class),
    )
    return value, drawn.get(rule.metric.split("/")[1], np.empty(0))


def _verdict(loss: Loss, rule: NonInferiorityRule, level: float, passed: bool) -> Verdict:
    limit = loss.limit(level)
    if math.isnan(loss.value):
        return Verdict(False, loss.value, limit, level, loss.evidence)
    reason = (
        f"the loss in {rule.metric} is {loss.value:.4f} and at most {limit:.4f} (one-sided "
        f"{100 * (1 - level):.4g}% limit; {loss.evidence}), register.policy.margin is {rule.margin:g}"
    )
    return Verdict(passed, loss.value, limit, level, reason)
