"""A challenger is promoted if it is not significantly worse on images that neither model has learnt from."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest

from src.registry.promotion import ValidationEvidence, image_names, judge, load, save

IMAGES = np.arange(200)
TRAINED = np.arange(1000, 1500)


def evidence(wrong: range | list[int], **changes: object) -> ValidationEvidence:
    """A model that is wrong on the images ``wrong``."""
    targets = IMAGES % 10
    predicted = targets.copy()
    predicted[list(wrong)] = (predicted[list(wrong)] + 1) % 10
    return replace(ValidationEvidence(IMAGES, targets, predicted, TRAINED), **changes)


CHAMPION = evidence(range(10))


@pytest.mark.parametrize(("lost", "promoted"), [(0, True), (4, True), (5, False), (50, False)])
def test_one_sided_at_the_level(lost, promoted):
    """With nothing won, the p value of `lost` losses is 2 to the power of minus `lost`."""
    challenger = evidence(range(10 + lost))
    assert judge(CHAMPION, challenger, 0.05).promoted == promoted
    assert (0.5**lost < 0.05) == (not promoted)


def test_the_p_value_is_that_of_the_sign_test():
    challenger = evidence(range(4, 22))  # wins 4, loses 12
    judgement = judge(CHAMPION, challenger, 0.05)
    p = binomtest(12, 16, alternative="greater").pvalue
    assert f"of 200 validation images 12 lost and 4 won, one-sided p={p:.3g}" in judgement.reason
    assert judge(CHAMPION, challenger, p * 1.01).promoted is False
    assert judge(CHAMPION, challenger, p * 0.99).promoted is True


def test_much_better_is_not_worse():
    assert judge(evidence(range(100)), evidence([]), 0.05).promoted


def test_the_order_of_the_images_does_not_matter():
    rng = np.random.default_rng(0)
    shuffled = rng.permutation(len(IMAGES))
    for wrong in (range(14), range(15), range(4, 22)):
        challenger = evidence(wrong)
        other = ValidationEvidence(
            challenger.images[shuffled], challenger.targets[shuffled], challenger.predicted[shuffled], TRAINED
        )
        assert judge(CHAMPION, other, 0.05) == judge(CHAMPION, challenger, 0.05)


@pytest.mark.parametrize(
    ("champion", "challenger", "reason"),
    [
        ({"images": IMAGES + 1}, {}, "it was judged on other validation images"),
        ({"targets": (IMAGES + 1) % 10}, {}, "its validation images had other labels"),
        ({"trained_on": np.array([7, 8, 9999])}, {}, "the champion was trained on 2 of today's 200"),
        ({}, {"trained_on": np.array([3])}, "the challenger was trained on 1 of today's 200"),
    ],
)
def test_what_cannot_be_compared_is_not_promoted(champion, challenger, reason):
    judgement = judge(evidence(range(100), **champion), evidence([], **challenger), 0.05)
    assert judgement.promoted is False
    assert judgement.reason.startswith(f"not comparable with the champion: {reason}")


def test_fewer_images_are_other_images():
    fewer = ValidationEvidence(IMAGES[:-1], IMAGES[:-1] % 10, IMAGES[:-1] % 10, TRAINED)
    assert "other validation images" in judge(CHAMPION, fewer, 0.05).reason


def test_evidence_survives_the_disk(tmp_path):
    save(CHAMPION, tmp_path)
    loaded = load(tmp_path)
    assert np.array_equal(loaded.judged_on, CHAMPION.judged_on)
    assert np.array_equal(loaded.right, CHAMPION.right)
    assert np.array_equal(loaded.trained_on, TRAINED)


def test_names_of_images_are_the_beginnings_of_their_hashes():
    names = image_names(["00000000000000ff" + "0" * 48, "ff" * 32, "00" * 32])
    assert names.tolist() == [255, -1, 0]
