"""Parity: float by logits, int8 by predictions, each against what it was made from."""

from dataclasses import replace

import numpy as np
import pytest

from src.compression.export_step import export
from src.compression.parity import Parity, check_parity, onnx_logits
from src.compression.post_training import quantize_static
from src.config.schema.compress import Export, QuantizeStatic
from tests.support.digits import VAL_ROWS, digits, make_context, trained


@pytest.fixture(scope="module")
def images():
    return digits()[0][VAL_ROWS]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return export(
        trained(), Export(name="export"), make_context(trained(), tmp_path_factory.mktemp("parity"))
    )


@pytest.fixture(scope="module")
def rounded(plain, tmp_path_factory):
    step = QuantizeStatic(name="quantize_static", images=100, calibration="minmax", per_channel=True)
    return quantize_static(plain, step, make_context(trained(), tmp_path_factory.mktemp("parity")))


def test_an_export_says_what_the_network_says(plain, images):
    parity = check_parity(plain, images, onnx_logits(plain.content, images, 2), 1e-3, 1.0, 2)
    assert parity.largest_difference < 1e-4
    assert (parity.agreement, parity.reason) == (1.0, None)


def test_a_float_model_with_other_logits_fails_with_the_reason(plain, images):
    logits = onnx_logits(plain.content, images, 2)
    logits[7, 3] += 0.5
    parity = check_parity(plain, images, logits, 1e-3, 0.0, 2)
    assert parity.largest_difference == pytest.approx(0.5, abs=1e-4)
    assert parity.reason == "a logit differs by 0.5, more than compress.tolerance=0.001"


def test_logits_that_are_no_numbers_fail(plain, images):
    logits = np.full((len(images), 10), np.nan, dtype=np.float32)
    assert check_parity(plain, images, logits, 1e-3, 0.0, 2).reason is not None


def test_int8_is_judged_by_its_predictions(rounded, images):
    logits = onnx_logits(rounded.content, images, 2)
    parity = check_parity(rounded, images, logits, 1e-9, 0.95, 2)
    assert parity.largest_difference > 1e-3  # far above the tolerance, which is not for int8
    assert parity.reason is None
    wrong = logits.copy()
    wrong[: len(wrong) // 2] *= -1
    failed = check_parity(rounded, images, wrong, 1e-9, 0.95, 2)
    assert failed.agreement < 0.6
    expected = f"predictions agree on {failed.agreement:.4f} of the images, less than compress.agreement=0.95"
    assert failed.reason == expected


def test_int8_is_compared_with_the_float_file_and_not_with_the_network(rounded, plain, images):
    """A source that says something else changes nothing as long as there is a float file."""
    other = replace(rounded, source=replace(rounded.source, network=None))
    logits = onnx_logits(plain.content, images, 2)
    assert check_parity(other, images, logits, 1e-3, 1.0, 2) == Parity(0.0, 1.0, None)
