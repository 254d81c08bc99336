"""Parity: float by logits, int8 by predictions, each against what it was made from."""

import numpy as np
import pytest

from src.auditing.file_comparison import read_table
from src.compression import variant
from src.compression.export_step import export
from src.compression.parity import check_parity, onnx_logits, torch_logits
from src.compression.post_training import quantize_static
from src.config.schema.compress import Compress, Export, QuantizeStatic, Variant
from src.data.dataset.index import CalibrationRows, HeldOutRows
from tests.support.digits import VAL_ROWS, digits, make_context, trained
from tests.support.scores import make_decision


@pytest.fixture(scope="module")
def images():
    return digits()[0][VAL_ROWS]


EXPORT = Export(name="export")


def said(images):
    """What the exported network says."""
    return torch_logits(trained(), images)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return export(
        trained(), Export(name="export"), make_context(trained(), tmp_path_factory.mktemp("parity"))
    )


@pytest.fixture(scope="module")
def rounded(plain, tmp_path_factory):
    step = QuantizeStatic(name="quantize_static", images=100, calibration="minmax", per_channel=True)
    return quantize_static(plain, step, make_context(trained(), tmp_path_factory.mktemp("parity")))


@pytest.mark.slow
def test_an_export_says_what_the_network_says(plain, images):
    parity = check_parity(plain, onnx_logits(plain.content, images, 2), said(images), 1e-3, 1.0)
    assert parity.largest_difference < 1e-4
    assert (parity.agreement, parity.reason) == (1.0, None)


def test_a_float_model_with_other_logits_fails_with_the_reason(plain, images):
    logits = onnx_logits(plain.content, images, 2)
    logits[7, 3] += 0.5
    parity = check_parity(plain, logits, said(images), 1e-3, 0.0)
    assert parity.largest_difference == pytest.approx(0.5, abs=1e-4)
    assert parity.reason == "a logit differs by 0.5, more than compress.tolerance=0.001"


def test_logits_that_are_no_numbers_fail(plain, images):
    logits = np.full((len(images), 10), np.nan, dtype=np.float32)
    assert check_parity(plain, logits, said(images), 1e-3, 0.0).reason is not None


def test_int8_is_judged_by_its_predictions(rounded, images):
    logits = onnx_logits(rounded.content, images, 2)
    parity = check_parity(rounded, logits, said(images), 1e-9, 0.95)
    assert parity.largest_difference > 1e-3  # far above the tolerance, which is not for int8
    assert parity.reason is None
    wrong = logits.copy()
    wrong[: len(wrong) // 2] *= -1
    failed = check_parity(rounded, wrong, said(images), 1e-9, 0.95)
    assert failed.agreement < 0.6
    expected = f"predictions agree on {failed.agreement:.4f} of the images, less than compress.agreement=0.95"
    assert failed.reason == expected


@pytest.fixture
def counted(monkeypatch):
    """How many images each of the two was asked for, in order."""
    counts = {"onnx_logits": [], "torch_logits": []}
    for name, calls in counts.items():
        ask = getattr(variant, name)
        monkeypatch.setattr(
            variant,
            name,
            lambda model, images, *rest, ask=ask, calls=calls: (
                calls.append(len(images)) or ask(model, images, *rest)
            ),
        )
    return counts


@pytest.mark.slow
def test_what_is_tracked_of_a_float_variant_is_what_the_network_says(tmp_path, monkeypatch, counted):
    """ONNX Runtime decides only whether the file passes: its float kernels differ by CPU."""
    context = make_context(trained(), tmp_path)
    held = HeldOutRows(VAL_ROWS, digits()[1][VAL_ROWS], np.arange(len(VAL_ROWS)) % 2 == 0)
    monkeypatch.setattr(variant, "read_held_out", lambda *folders: held)
    fitting = CalibrationRows("val", held.ids[held.validation], held.targets[held.validation])
    monkeypatch.setattr(variant, "read_calibration", lambda *folders: fitting)
    held_out, validation = len(VAL_ROWS), len(VAL_ROWS) // 2
    limits = Compress(tolerance=1e-3, agreement=0.9, variants={"onnx_fp32": Variant(steps=[EXPORT])})
    int8 = QuantizeStatic(name="quantize_static", images=100, calibration="minmax", per_channel=True)
    for steps, runtime in (([EXPORT], False), ([EXPORT, int8], True)):
        result = variant.make_variant(
            steps, context, limits, make_decision("argmax"), tmp_path, tmp_path, tmp_path
        )
        assert result.reason is None
        expected = torch_logits(trained(), digits()[0][VAL_ROWS]) / np.float32(result.temperature)
        if runtime:  # the file divides by the temperature itself
            content = (tmp_path / "model.onnx").read_bytes()
            expected = onnx_logits(content, digits()[0][VAL_ROWS], 1)
        stored = read_table(tmp_path / "predictions.parquet")
        assert np.array_equal(np.stack([stored[f"logit_{k}"] for k in range(10)], axis=1), expected)
        assert ("val/largest_difference" in result.metrics) is runtime
    # the test images are answered by the one that is tracked only; torch answers for the base too
    assert counted["onnx_logits"] == [validation, held_out]
    assert counted["torch_logits"] == [held_out, validation, validation, validation]
