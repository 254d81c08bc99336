"""A challenger is promoted if its loss is within the margin, on images that neither model has learnt from."""

from dataclasses import replace

import numpy as np
import pytest

from src.leaderboard.comparison.non_inferiority import NonInferiorityRule
from src.leaderboard.table.significance import Discordance, loss_limit
from src.registry.promotion import ValidationEvidence, image_names, judge_challenger, load, overlap, save

IMAGES = np.arange(200)
TRAINED = np.arange(1000, 1500)


def evidence(wrong: range | list[int]) -> ValidationEvidence:
    """A model that is wrong on the images ``wrong``."""
    targets = IMAGES % 10
    predicted = targets.copy()
    predicted[list(wrong)] = (predicted[list(wrong)] + 1) % 10
    return ValidationEvidence(IMAGES, targets, np.eye(10, dtype=np.float32)[predicted], TRAINED)


def rule(margin: float, level: float = 0.05) -> NonInferiorityRule:
    return NonInferiorityRule("val/accuracy", margin, level, resamples=100, top_k=3, bins=15, seed=0)


CHAMPION = evidence(range(10))


@pytest.mark.parametrize(("lost", "promoted"), [(0, True), (4, True), (5, False), (50, False)])
def test_the_margin_decides(lost, promoted):
    """Four lost images of 200 are at most 4.3 points, five are 5.0."""
    assert judge_challenger(CHAMPION, evidence(range(10 + lost)), rule(0.045)).promoted == promoted
    assert (loss_limit(Discordance(lost, 0, 200), 0.05) <= 0.045) == promoted


def test_not_significantly_worse_is_not_as_good():
    """Losing four images is not a significant loss (p = 0.06), but does not show a loss below two points."""
    decision = judge_challenger(CHAMPION, evidence(range(14)), rule(0.02))
    assert not decision.promoted
    assert decision.reason == (
        "not shown non-inferior: the loss in val/accuracy is 0.0200 and at most 0.0438 (one-sided 95% limit; "
        "4 lost and 0 won of 200 validation images), register.policy.margin is 0.02"
    )


def test_the_level_decides():
    challenger = evidence(range(4, 22))  # wins 4, loses 12
    limits = {level: loss_limit(Discordance(12, 4, 200), level) for level in (0.05, 0.01)}
    assert limits[0.05] < 0.08 < limits[0.01]
    assert judge_challenger(CHAMPION, challenger, rule(0.08, 0.05)).promoted
    assert not judge_challenger(CHAMPION, challenger, rule(0.08, 0.01)).promoted


def test_much_better_is_not_worse():
    assert judge_challenger(evidence(range(100)), evidence([]), rule(0.001)).promoted
    assert not judge_challenger(evidence([]), evidence(range(100)), rule(0.45)).promoted


def test_the_order_of_the_images_does_not_matter():
    rng = np.random.default_rng(0)
    mixed = rng.permutation(len(IMAGES))
    for wrong in (range(14), range(15), range(4, 22)):
        one = evidence(wrong)
        other = ValidationEvidence(one.images[mixed], one.targets[mixed], one.logits[mixed], TRAINED)
        assert judge_challenger(CHAMPION, other, rule(0.045)) == judge_challenger(CHAMPION, one, rule(0.045))


def test_answers_for_other_images_are_no_pair():
    for changes in ({"images": IMAGES + 1}, {"targets": (IMAGES + 1) % 10}):
        with pytest.raises(AssertionError):
            judge_challenger(replace(CHAMPION, **changes), evidence([]), rule(0.5))


def test_a_model_is_not_judged_on_what_it_has_learned():
    learned = replace(CHAMPION, trained_on=np.array([7, 8, 9999]))
    assert overlap(learned, IMAGES) == "it was trained on 2 of today's 200 validation images"
    assert overlap(CHAMPION, IMAGES) is None


def test_evidence_survives_the_disk(tmp_path):
    mixed = np.random.default_rng(0).permutation(len(IMAGES))
    save(ValidationEvidence(IMAGES[mixed], (IMAGES % 10)[mixed], CHAMPION.logits[mixed], TRAINED), tmp_path)
    loaded = load(tmp_path)
    assert np.array_equal(loaded.judged_on, CHAMPION.judged_on)
    assert np.array_equal(loaded.logits, CHAMPION.logits)
    assert np.array_equal(loaded.trained_on, TRAINED)


def test_evidence_of_an_earlier_version_has_no_answers(tmp_path):
    """It kept the predicted classes as a third row, and no logits."""
    np.save(tmp_path / "validation.npy", np.stack([IMAGES, IMAGES % 10, IMAGES % 10]))
    np.save(tmp_path / "training.npy", TRAINED)
    loaded = load(tmp_path)
    assert loaded.logits is None
    assert np.array_equal(loaded.judged_on, CHAMPION.judged_on)


def test_names_of_images_are_the_beginnings_of_their_hashes():
    names = image_names(["00000000000000ff" + "0" * 48, "ff" * 32, "00" * 32])
    assert names.tolist() == [255, -1, 0]
