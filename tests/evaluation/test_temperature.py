"""One number that makes probabilities mean what they say."""

import numpy as np
import pytest
from scipy.special import softmax

from src.evaluation.fitted.temperature import HIGHEST, fit_temperature
from src.evaluation.metrics.calibration import calibration_error


def drawn(temperature: float, images: int = 20_000, classes: int = 5, seed: int = 0):
    """Logits that are right about their probabilities once they are divided by ``temperature``."""
    random = np.random.default_rng(seed)
    honest = random.normal(size=(images, classes)) * 2
    draws = random.random((images, 1))
    targets = (softmax(honest, axis=1).cumsum(axis=1) < draws).sum(axis=1).clip(max=classes - 1)
    return (honest * temperature).astype(np.float32), targets.astype(np.int64)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_it_is_found_from_images(temperature):
    assert fit_temperature(*drawn(temperature)) == pytest.approx(temperature, rel=0.03)


@pytest.mark.parametrize("temperature", [0.4, 3.0])
def test_it_calibrates_images_that_it_was_not_fitted_on(temperature):
    logits, targets = drawn(temperature, seed=1)
    found = fit_temperature(*drawn(temperature))
    before = calibration_error(softmax(logits.astype(float), axis=1), targets, 15)
    after = calibration_error(softmax(logits / found, axis=1), targets, 15)
    assert after < 0.02 < before


def test_it_has_few_digits_and_stays_within_its_bounds():
    found = fit_temperature(*drawn(1.7))
    assert found == float(f"{found:.4g}")
    wrong = 9 * np.eye(3, dtype=np.float32)[::-1]
    assert fit_temperature(wrong, np.arange(3)) == pytest.approx(HIGHEST, rel=0.01)


def test_a_network_that_is_always_right_is_not_made_certain():
    """Right about 100 images: it may still be wrong about one in 102."""
    logits, targets = 4 * np.eye(2, dtype=np.float32)[np.arange(100) % 2], np.arange(100) % 2
    certainty = softmax(logits / fit_temperature(logits, targets), axis=1).max()
    assert certainty == pytest.approx(1 - 1 / 102, abs=1e-4)
