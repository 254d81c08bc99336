"""Each corruption changes what it says it changes, more at each severity, and the same on every machine."""

import hashlib
import io
import subprocess
import sys
from typing import get_args

import numpy as np
import pytest
from PIL import Image
from scipy.stats import norm
from sklearn.datasets import load_digits, load_sample_images

from src.config.schema.evaluate import CorruptionName
from src.evaluation.robustness import corruptions
from src.evaluation.robustness.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from tests.support.workspaces import ROOT

NAMES = list(CORRUPTIONS)


def digits():
    """(12, 1, 8, 8)"""
    return (load_digits().images[:12] * 255 / 16).round().astype(np.uint8)[:, None]


def photos(side):
    """Two real photos, (2, 3, side, side)."""
    found = [Image.fromarray(image).resize((side, side)) for image in load_sample_images().images]
    return np.stack([np.asarray(image).transpose(2, 0, 1) for image in found])


SETS = {"8 pixels": digits(), "28 pixels": photos(28)[:, :1], "224 pixels": photos(224)}


def changed(images, name, severity, ids=None, seed=0):
    return corrupt(images, np.arange(len(images)) if ids is None else ids, name, severity, seed)


def distance(one, other):
    """Mean over the images of the root mean square difference."""
    return np.sqrt(((one.astype(float) - other) ** 2).mean(axis=(1, 2, 3)))


def test_every_name_of_the_configuration_is_a_corruption():
    assert set(CORRUPTIONS) == set(get_args(CorruptionName))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", SETS)
def test_a_higher_severity_is_further_from_the_original_and_leaves_something_of_it(name, size):
    images = SETS[size]
    found = [changed(images, name, severity) for severity in SEVERITIES]
    assert all(each.shape == images.shape and each.dtype == np.uint8 for each in found)
    distances = np.array([distance(images, each) for each in found])  # (3, n)
    assert (distances[0] > 1).all()
    assert (np.diff(distances, axis=0) > 0).all()
    for image, strongest in zip(images, found[-1], strict=True):
        assert np.corrcoef(image.ravel(), strongest.ravel())[0, 1] > 0.3


@pytest.mark.parametrize(
    ("name", "nothing"), [("rotation", 0), ("contrast", 1), ("brightness", 0), ("noise", 0)]
)
def test_a_strength_that_changes_nothing_is_the_identity(name, nothing):
    images = SETS["28 pixels"]
    draws = (np.random.default_rng(number) for number in range(len(images)))
    np.testing.assert_array_equal(CORRUPTIONS[name].change(images, nothing, draws), images)


def test_a_quarter_turn_moves_every_pixel_to_its_place():
    images = SETS["8 pixels"]
    draws = [np.random.default_rng(number) for number in range(len(images))]
    signs = [np.random.default_rng(number).choice((-1, 1)) for number in range(len(images))]
    turned = corruptions.rotation(images, 90, iter(draws))
    expected = [np.rot90(image, sign, axes=(1, 2)) for image, sign in zip(images, signs, strict=True)]
    np.testing.assert_array_equal(turned, expected)
    assert set(signs) == {-1, 1}


def test_corners_of_a_turned_image_repeat_its_edge():
    image = np.full((1, 3, 40, 30), 200, np.uint8)
    np.testing.assert_array_equal(changed(image, "rotation", 3), image)


@pytest.mark.parametrize("size", ["28 pixels", "224 pixels"])
def test_jpeg_is_pillows_file_of_the_stated_quality(size):
    images = SETS[size]
    for severity, quality in zip(SEVERITIES, (50, 25, 10), strict=True):
        file = io.BytesIO()
        Image.fromarray(np.squeeze(images[1].transpose(1, 2, 0))).save(file, "JPEG", quality=quality)
        again = np.asarray(Image.open(file)).reshape(*images.shape[2:], -1).transpose(2, 0, 1)
        np.testing.assert_array_equal(changed(images, "jpeg", severity)[1], again)


def test_jpeg_leaves_an_image_without_detail_as_it_is():
    image = np.full((1, 1, 16, 16), 128, np.uint8)
    np.testing.assert_array_equal(changed(image, "jpeg", 3), image)


@pytest.mark.parametrize(("side", "sigma"), [(224, 5.6), (64, 1.6), (32, 0.8), (8, 0.8)])
def test_a_blurred_edge_is_the_normal_distribution_with_the_stated_deviation(side, sigma):
    edge = np.zeros((1, 1, side, side), np.uint8)
    edge[..., side // 2 :] = 255
    found = changed(edge, "blur", 3)[0, 0, side // 2] / 255
    expected = norm.cdf((np.arange(side) - side // 2 + 0.5) / sigma)
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_noise_has_the_stated_spread_and_brightness_and_contrast_their_amounts():
    gray = np.full((4, 3, 64, 64), 127, np.uint8)
    for severity, std in zip(SEVERITIES, (0.05, 0.1, 0.2), strict=True):
        added = changed(gray, "noise", severity).astype(float) - 127
        assert added.std() == pytest.approx(255 * std, rel=0.03)
        assert abs(added.mean()) < 1
    assert (changed(gray, "brightness", 2) == 178).all()
    two = np.repeat(np.array([100, 200], np.uint8), 32).reshape(1, 1, 8, 8)
    assert set(np.unique(changed(two, "contrast", 2))) == {125, 175}
    assert (changed(np.full_like(two, 250), "brightness", 3) == 255).all()


@pytest.mark.parametrize("name", NAMES)
def test_an_image_changes_the_same_whichever_others_are_there(name):
    images, ids = SETS["8 pixels"], np.arange(100, 112)
    alone = [changed(images[row : row + 1], name, 2, ids[row : row + 1])[0] for row in range(len(images))]
    np.testing.assert_array_equal(changed(images, name, 2, ids), alone)


def test_noise_depends_on_seed_and_id():
    image = SETS["8 pixels"][:1]
    first = changed(image, "noise", 2, np.array([5]))
    assert (changed(image, "noise", 2, np.array([6])) != first).any()
    assert (changed(image, "noise", 2, np.array([5]), seed=1) != first).any()
    assert not np.array_equal(changed(image, "rotation", 2, np.array([5]), seed=1), image)


def digest():
    """Of all corruptions of all sets."""
    found = hashlib.sha256()
    for images in SETS.values():
        for name in NAMES:
            found.update(changed(images, name, 2, seed=42).tobytes())
    return found.hexdigest()


@pytest.mark.slow
def test_the_bytes_are_those_of_another_process_with_another_number_of_threads():
    code = "from tests.evaluation.test_corruptions import digest; print(digest())"
    environment = {"OMP_NUM_THREADS": "2", "PYTHONHASHSEED": "7", "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == digest()
