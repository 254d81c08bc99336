"""Statistics of training pixels, against numpy in float64 and against published figures."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.core.errors import AssayError
from src.data.dataset.statistics import channel_statistics, normalization_from

FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz")


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30), st.sampled_from([1, 3]), st.integers(0, 2**32 - 1))
def test_equals_numpy_in_float64(count: int, channels: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    images = generator.integers(0, generator.integers(1, 257), (40, channels, 5, 7), dtype=np.uint8)
    rows = generator.choice(40, count, replace=False)
    found = channel_statistics(images, rows)
    pixels = images[rows].astype(np.float64).transpose(1, 0, 2, 3).reshape(channels, -1) / 255
    assert found.images == count
    assert np.allclose(found.mean, pixels.mean(axis=1), rtol=1e-13, atol=1e-15)
    assert np.allclose(found.std, pixels.std(axis=1), rtol=1e-12, atol=1e-14)
    assert np.array_equal(found.min, pixels.min(axis=1))
    assert np.array_equal(found.max, pixels.max(axis=1))


def test_other_rows_change_nothing() -> None:
    images = np.random.default_rng(0).integers(0, 256, (100, 3, 8, 8), dtype=np.uint8)
    rows = np.arange(0, 100, 3)
    before = channel_statistics(images, rows)
    images[np.setdiff1d(np.arange(100), rows)] = 255
    after = channel_statistics(images, rows)
    assert np.array_equal(before.mean, after.mean)
    assert np.array_equal(before.std, after.std)
    assert np.array_equal(before.max, after.max)


def test_reading_in_chunks_from_a_file_changes_nothing(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (9000, 1, 32, 32), dtype=np.uint8)  # three chunks
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    found = channel_statistics(mapped, np.arange(9000))
    assert found.mean[0] == pytest.approx(images.mean() / 255, rel=1e-13)
    assert found.std[0] == pytest.approx((images / 255).std(), rel=1e-12)


@pytest.mark.skipif(not FASHION_MNIST.is_file(), reason="needs Debian's package dataset-fashion-mnist")
def test_fashion_mnist_has_its_published_mean_and_deviation() -> None:
    content = gzip.decompress(FASHION_MNIST.read_bytes())
    images = np.frombuffer(content, np.uint8, offset=16).reshape(60000, 1, 28, 28)
    found = channel_statistics(images, np.arange(60000))
    assert found.mean.round(4).tolist() == [0.2860]
    assert found.std.round(4).tolist() == [0.3530]


@pytest.mark.parametrize("method", ["standard", "minmax", "none"])
def test_methods_do_what_they_say(method: str) -> None:
    images = np.random.default_rng(0).integers(20, 200, (30, 3, 8, 8), dtype=np.uint8)
    shift, scale, notes = normalization_from(channel_statistics(images, np.arange(30)), method)
    changed = (images / 255 - shift[:, None, None]) / scale[:, None, None]
    axes = (0, 2, 3)
    assert notes == []
    if method == "standard":
        assert np.allclose(changed.mean(axis=axes), 0, atol=1e-12)
        assert np.allclose(changed.std(axis=axes), 1)
    elif method == "minmax":
        assert np.allclose(changed.min(axis=axes), 0, atol=1e-12)
        assert np.allclose(changed.max(axis=axes), 1)
    else:
        assert np.array_equal(changed, images / 255)


@pytest.mark.parametrize("method", ["standard", "minmax"])
def test_a_channel_without_spread_gets_scale_one_and_a_note(method: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (10, 2, 4, 4), dtype=np.uint8)
    images[:, 1] = 51
    shift, scale, notes = normalization_from(channel_statistics(images, np.arange(10)), method)
    assert scale[1] == 1.0
    assert shift[1] == pytest.approx(0.2, abs=1e-12)
    assert scale[0] != 1.0
    assert notes == ["channel 1 has the same value in all training pixels: its scale is 1"]


def test_no_training_rows_are_refused() -> None:
    with pytest.raises(AssayError, match="No image is in the training split"):
        channel_statistics(np.zeros((3, 1, 4, 4), np.uint8), np.zeros(0, np.int64))
