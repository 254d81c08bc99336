"""Mixup and CutMix: images and targets as the papers have them."""

import numpy as np
import pytest
import torch

from src.config.schema.train import Train
from src.training.mixing import mix, paste
from tests.support.training_tasks import section

IMAGES, CLASSES = 64, 4
TARGETS = torch.arange(IMAGES) % CLASSES
# Each image has its own values, all pixels the same: what is mixed shows its origin.
PIXELS = torch.arange(1.0, IMAGES + 1).view(-1, 1, 1, 1).expand(-1, 3, 8, 10).contiguous()


def train(**changes) -> Train:
    return Train.model_validate(section("train/default.yaml") | changes)


def mixed(seed=0, **changes):
    return mix(PIXELS, TARGETS, CLASSES, train(**changes), np.random.default_rng(seed))


def test_mixup_mixes_each_image_with_one_other_and_targets_in_the_same_share():
    found, truth = mixed(mixup=0.4)
    assert all(image.unique().numel() == 1 for image in found)
    one_hot = torch.eye(CLASSES)
    share = share_of(truth)
    for place, image in enumerate(found):
        values = share * PIXELS[place, 0, 0, 0] + (1 - share) * PIXELS[:, 0, 0, 0]
        matches = [other for other in range(IMAGES) if torch.isclose(values[other], image[0, 0, 0])]
        assert len(matches) == 1
        expected = share * one_hot[TARGETS[place]] + (1 - share) * one_hot[TARGETS[matches[0]]]
        torch.testing.assert_close(truth[place], expected)


def share_of(truth) -> float:
    """The share of the first image, from an image whose partner is of another class."""
    return next(row[target].item() for row, target in zip(truth, TARGETS, strict=True) if (row > 0).sum() > 1)


@pytest.mark.parametrize("seed", range(20))
def test_cutmix_pastes_a_box_and_counts_its_pixels(seed):
    found, truth = mixed(seed, cutmix=1.0)
    for place, image in enumerate(found):
        own = image[0] == PIXELS[place, 0]
        assert (image == image[:1]).all()  # the same box in every channel
        others = image[0][~own].unique()
        assert others.numel() <= 1
        expected = torch.zeros(CLASSES)
        share = own.float().mean()
        expected[TARGETS[place]] += share
        if others.numel():
            rows, columns = np.nonzero((~own).numpy())
            assert (~own)[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].all()
            expected[TARGETS[int(others.item()) - 1]] += 1 - share
            torch.testing.assert_close(truth[place], expected)


def test_the_box_has_the_area_that_was_drawn_unless_it_crosses_the_border():
    others = torch.zeros(1, 1, 40, 40)
    shares = [
        paste(torch.ones(1, 1, 40, 40), others, 0.75, np.random.default_rng(seed)) for seed in range(300)
    ]
    assert min(share for _, share in shares) == 0.75  # a box of 20 by 20
    assert all(images.mean().item() == pytest.approx(share) for images, share in shares)


def test_shares_follow_beta():
    """Beta(a, a) has the mean 1/2 and the variance 1 / (4 (2a + 1)); the partner's share is one minus it."""
    shares = []
    for seed in range(400):
        _, truth = mixed(seed, mixup=0.4)
        shares.append(share_of(truth))
    assert np.mean(shares) == pytest.approx(0.5, abs=0.06)
    assert np.var(shares) == pytest.approx(1 / (4 * 1.8), rel=0.15)


def test_both_take_turns():
    kinds = {
        all(image.unique().numel() == 1 for image in mixed(seed, mixup=0.4, cutmix=1.0)[0])
        for seed in range(9)
    }
    assert kinds == {True, False}


def test_partners_are_drawn_from_the_whole_batch():
    """Batches are in the order of the file, often by class: neighbours would be of the same class."""
    targets = torch.arange(IMAGES) // (IMAGES // CLASSES)
    _, truth = mix(PIXELS, targets, CLASSES, train(mixup=1.0), np.random.default_rng(3))
    assert len({tuple(row.nonzero().flatten().tolist()) for row in truth}) > CLASSES + 3


def test_the_generator_alone_decides():
    torch.manual_seed(1)
    first = mixed(5, mixup=0.4, cutmix=1.0)
    torch.manual_seed(2)
    again = mixed(5, mixup=0.4, cutmix=1.0)
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
    assert not torch.equal(first[0], mixed(6, mixup=0.4, cutmix=1.0)[0])
