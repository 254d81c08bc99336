"""Non-inferiority of several models at once, and of metrics other than accuracy."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import f1_score, log_loss, precision_score, recall_score
from statsmodels.stats.multitest import multipletests

from src.evaluation.uncertainty import bootstrap
from src.leaderboard.comparison.non_inferiority import (
    NonInferiorityRule,
    ResampledLoss,
    UnknownLoss,
    fewest_images,
    judge,
    measure_loss,
    smallest_limit,
)
from src.leaderboard.table.significance import FEW, Discordance, loss_p

CLASSES = 4


def rule(metric="val/accuracy", margin=0.02, level=0.05, resamples=400):
    names = ("first", "second", "third", "fourth")
    return NonInferiorityRule(metric, margin, level, resamples, top_k=2, bins=10, seed=0, classes=names)


@dataclass(frozen=True)
class KnownLoss:
    """A loss that is normally distributed around ``value``."""

    value: float
    error: float = 0.01
    evidence: str = "known"

    def p(self, margin):
        return float(norm.cdf((self.value - margin) / self.error))

    def limit(self, level):
        return self.value + float(norm.ppf(1 - level)) * self.error


def with_p(value, margin=0.02):
    """A loss whose p value is ``value``."""
    return KnownLoss(margin + 0.01 * float(norm.ppf(value)))


@pytest.mark.slow
@pytest.mark.parametrize(
    "p_values",
    [
        [0.01, 0.02, 0.04],  # 0.05 / 3, 0.05 / 2, 0.05
        [0.02, 0.01, 0.001],
        [0.02, 0.02, 0.02],  # not even the first is at most 0.05 / 3
        [0.016, 0.03, 0.04],  # the second is not, so the third has no chance
        [0.04],
        [0.06],
        [0.001, 0.9, 0.012, 0.04, 0.0125],
    ],
)
def test_holms_correction_is_that_of_statsmodels(p_values):
    losses = {f"variant {place}": with_p(p) for place, p in enumerate(p_values)}
    expected = multipletests(p_values, alpha=0.05, method="holm")[0]
    found = judge(losses, rule())
    assert list(found) == list(losses)
    assert [verdict.passed for verdict in found.values()] == expected.tolist()


def test_a_p_value_that_equals_the_level_passes():
    """As a limit that equals the margin does."""
    loss = KnownLoss(0.0)
    exact = rule(margin=0.02, level=loss.p(0.02))
    assert judge({"one": loss}, exact)["one"].passed
    assert not judge({"one": loss}, rule(margin=0.02, level=np.nextafter(loss.p(0.02), 0)))["one"].passed


def test_a_limit_is_within_the_margin_exactly_if_the_model_passed():
    """Also of a model that would pass alone, but comes after one that does not."""
    random = np.random.default_rng(0)
    for _ in range(300):
        losses = {str(place): KnownLoss(random.normal(0.0, 0.02)) for place in range(random.integers(1, 6))}
        for verdict in judge(losses, rule()).values():
            assert (verdict.limit <= 0.02) == verdict.passed


def test_of_many_inferior_models_one_passes_in_at_most_five_percent():
    """The family-wise error at the margin. Without the correction, 5 models would give 23 percent."""
    random, wrong = np.random.default_rng(0), 0
    for _ in range(2000):
        losses = {str(place): KnownLoss(random.normal(0.02, 0.01)) for place in range(5)}
        wrong += any(verdict.passed for verdict in judge(losses, rule()).values())
    assert 0.035 <= wrong / 2000 <= 0.065


@pytest.mark.parametrize("loss", [0.0, 0.005, 0.01, 0.015, 0.02, 0.03])
def test_a_variant_of_the_digits_seldom_passes_and_then_loses_more_than_the_margin(loss):
    """On 270 validation images, one of three, and 359 test images: at most one seed in a hundred."""
    random, won = np.random.default_rng(0), 0.005
    shares = [loss + won, won, 1 - loss - 2 * won]
    validation, test = (random.multinomial(images, shares, 20_000) for images in (270, 359))
    passes = {
        (a, b): loss_p(Discordance(int(a), int(b), 270), 0.02) <= 0.05 / 3
        for a, b in np.unique(validation[:, :2], axis=0)
    }
    passed = np.array([passes[a, b] for a, b in validation[:, :2]])
    beyond = (test[:, 0] - test[:, 1]) / 359 > 0.02
    assert np.mean(passed & beyond) < 0.01
    assert loss > 0.01 or passed.mean() > 0.05, "it is not impossible to pass"


def logits_of(predicted, sure=3.0):
    return (np.eye(CLASSES) * sure)[predicted].astype(np.float32)


def answers(images, wrong_before, wrong_after, seed=0):
    """Targets, and the logits of two models that are wrong on these images."""
    targets = np.random.default_rng(seed).integers(0, CLASSES, images)
    predicted = []
    for wrong in (wrong_before, wrong_after):
        said = targets.copy()
        said[list(wrong)] = (said[list(wrong)] + 1) % CLASSES
        predicted.append(logits_of(said))
    return *predicted, targets


def test_the_loss_in_accuracy_needs_no_disagreement():
    before, after, targets = answers(270, [], [])
    verdict = judge({"same": measure_loss(before, after, targets, rule())}, rule())["same"]
    assert verdict.passed
    assert round(verdict.limit, 4) == 0.0099 == round(smallest_limit(270, 0.05), 4)
    assert not judge({"same": measure_loss(before, after, targets, rule())}, rule(margin=0.0099))[
        "same"
    ].passed


@pytest.mark.parametrize(("margin", "level"), [(0.02, 0.05), (0.01, 0.05 / 3), (0.005, 0.01)])
def test_the_fewest_images_are_just_enough(margin, level):
    images = fewest_images(margin, level)
    assert smallest_limit(images, level) <= margin < smallest_limit(images - 1, level)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("metric", "lost"),
    [
        ("val/f1_macro", range(80)),
        ("val/log_loss", range(80)),
        pytest.param("val/recall/second", range(80), marks=pytest.mark.prove),
        pytest.param("val/precision/second", range(80), marks=pytest.mark.prove),
        pytest.param("val/recall_min", range(80), marks=pytest.mark.prove),
    ],
)
def test_other_metrics_have_a_paired_bootstrap(metric, lost):
    """That of a plain loop over resampled images, in the better direction of the metric."""
    before, after, targets = answers(400, range(40), lost)
    loss = measure_loss(before, after, targets, rule(metric, resamples=1000))
    random = np.random.default_rng(3)
    drawn = []
    for _ in range(1000):
        rows = random.integers(0, 400, 400)
        drawn.append(score(metric, after[rows], targets[rows]) - score(metric, before[rows], targets[rows]))
    assert loss.value == pytest.approx(score(metric, after, targets) - score(metric, before, targets))
    assert loss.value > 0, "forty more images are wrong"
    assert loss.limit(0.05) == pytest.approx(np.quantile(drawn, 0.95), abs=0.15 * loss.value)


def score(metric, logits, targets):
    """Less is better."""
    wide = np.exp(logits.astype(np.float64))
    if metric == "val/log_loss":
        return log_loss(targets, wide / wide.sum(axis=1, keepdims=True))
    predicted = logits.argmax(1)
    if metric == "val/recall_min":
        return 1 - recall_score(targets, predicted, average=None).min()
    if metric == "val/f1_macro":
        return 1 - f1_score(targets, predicted, average="macro")
    of_class = {"val/recall/second": recall_score, "val/precision/second": precision_score}[metric]
    return 1 - of_class(targets == 1, predicted == 1)


@pytest.mark.parametrize("resamples", [37, 100, 1000])
@pytest.mark.parametrize("level", [0.05, 0.05 / 3, 0.05 / 8])
def test_the_limit_of_resamples_agrees_with_their_p_value(resamples, level):
    loss = ResampledLoss(0.0, np.sort(np.random.default_rng(0).normal(size=resamples)), 50)
    limit = loss.limit(level)
    for margin in np.concatenate([loss.resampled - 1e-9, loss.resampled, loss.resampled + 1e-9]):
        assert (loss.p(margin) <= level) == (margin > limit)
    assert math.isinf(limit) == (level * (resamples + 1) < 1), "too few resamples show nothing"


def test_the_p_value_counts_the_model_itself_among_its_resamples():
    loss = ResampledLoss(0.0, np.arange(9) / 10, 50)
    assert [loss.p(margin) for margin in (-1, 0.0, 0.55, 1)] == [1.0, 1.0, 0.4, 0.1]


def test_models_that_agree_on_every_class_can_differ_in_their_probabilities():
    before, after, targets = answers(400, range(40), range(40))
    surer = measure_loss(before, after * 2, targets, rule("val/log_loss"))
    assert isinstance(surer, ResampledLoss)
    assert isinstance(measure_loss(before, after * 2, targets, rule("val/f1_macro")), UnknownLoss)


@pytest.mark.parametrize("metric", ["val/f1_macro", "val/log_loss"])
def test_a_worse_model_has_a_loss_in_either_direction_of_a_metric(metric):
    """F1 falls and log loss rises; both are losses, and in the resamples too."""
    before, after, targets = answers(400, range(40), range(80))
    loss = measure_loss(before, after, targets, rule(metric))
    back = measure_loss(after, before, targets, rule(metric))
    assert loss.value == -back.value > 0
    assert loss.resampled.min() < loss.value < loss.resampled.max()
    assert loss.resampled.min() > 0 > back.resampled.max()


def test_a_metric_without_resamples_has_no_limit(monkeypatch):
    monkeypatch.setattr(bootstrap, "AREA_BUDGET", 0)
    loss = measure_loss(*answers(400, [], range(FEW)), rule("val/roc_auc"))
    assert loss == UnknownLoss("val/roc_auc is undefined for these 400 validation images")
    verdict = judge({"one": loss}, rule(margin=1.0))["one"]
    assert (verdict.passed, verdict.limit, loss.p(1.0)) == (False, math.inf, 1.0)


@pytest.mark.parametrize("differ", [0, 1, FEW - 1])
def test_a_degenerate_bootstrap_is_refused_with_the_number(differ):
    before, after, targets = answers(400, [], range(differ))
    found = judge({"one": measure_loss(before, after, targets, rule("val/f1_macro", 0.5))}, rule(margin=0.5))
    assert not found["one"].passed
    assert found["one"].reason == (
        f"a bootstrap of val/f1_macro is degenerate: the models differ on {differ} of 400 validation images, "
        "and must on 25 at least. val/accuracy needs no such difference"
    )
    enough = measure_loss(*answers(400, [], range(FEW)), rule("val/f1_macro", 0.5))
    assert isinstance(enough, ResampledLoss)


def test_a_bootstrap_in_which_the_metric_is_undefined_is_refused():
    """ROC of a class of which many resamples have no image."""
    targets = np.array([0] * 199 + [1])
    before, after = (np.random.default_rng(seed).normal(size=(200, 2)).astype(np.float32) for seed in (0, 1))
    loss = measure_loss(before, after, targets, rule("val/roc_auc"))
    assert isinstance(loss, UnknownLoss)
    assert "it is undefined in" in loss.evidence and "of 400 resamples" in loss.evidence
