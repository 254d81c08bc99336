"""Near duplicates, against numpy's own correlation of all pairs, on real digits."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

from src.core.errors import AssayError
from src.data.splitting import leakage
from src.data.splitting.leakage import (
    LISTED,
    SIDE,
    near_duplicates,
    near_pairs,
    standardized_thumbnails,
)
from src.serving.decoding import ImageFormat, decode
from tests.support.pictures import encoded, noise

Images = NDArray[np.uint8]


@pytest.fixture(scope="module")
def digits() -> Images:
    return (load_digits().images * 15.9).astype(np.uint8)[:, None]  # (1797, 1, 8, 8)


def random_splits(count: int, seed: int = 0) -> NDArray[np.str_]:
    return np.random.default_rng(seed).choice(
        ["train", "val", "test", "dropped"], count, p=[0.6, 0.15, 0.2, 0.05]
    )


def all_pairs(images: Images, splits: NDArray[np.str_], threshold: float) -> dict[tuple[int, int], float]:
    """The plain way: correlations of all pixels, for images that are smaller than a thumbnail."""
    table = np.corrcoef(images.reshape(len(images), -1).astype(np.float64)).round(6)
    rank = np.array([{"train": 0, "val": 1, "test": 2, "dropped": -1}[name] for name in splits.tolist()])
    above = (table >= threshold) & (rank[:, None] > rank[None, :]) & (rank[None, :] >= 0)
    return {(int(a), int(b)): float(table[a, b]) for a, b in np.argwhere(above)}


@pytest.mark.parametrize("threshold", [0.97, 0.98, 0.995])
def test_finds_what_all_pairs_have(digits: Images, threshold: float) -> None:
    splits = random_splits(len(digits))
    expected = all_pairs(digits, splits, threshold)
    count, pairs = near_duplicates(digits, splits, threshold)
    assert count == len(expected)
    assert len(pairs) == min(LISTED, len(expected))
    nearest = sorted(((a, b) for a, b in expected), key=lambda pair: (-expected[pair], pair))
    assert [(pair.held_out, pair.other) for pair in pairs] == nearest[:LISTED]
    wanted = [expected[pair] for pair in nearest[:LISTED]]
    assert [pair.correlation for pair in pairs] == pytest.approx(wanted, abs=2e-6)


def test_another_exposure_or_a_little_noise_is_a_near_duplicate(digits: Images) -> None:
    noisy = digits[0] + np.random.default_rng(0).integers(0, 6, digits[0].shape).astype(np.uint8)
    images = np.concatenate([digits[:2], [digits[0] // 2 + 30], [noisy]])
    count, pairs = near_duplicates(images, np.array(["train", "train", "test", "val"]), 0.99)
    assert count == 3
    assert {(pair.held_out, pair.other) for pair in pairs} == {(2, 0), (2, 3), (3, 0)}


def test_an_image_of_one_gray_is_near_to_none(digits: Images) -> None:
    flat = np.stack([np.full((1, 8, 8), gray, np.uint8) for gray in (0, 7, 255)])
    images = np.concatenate([flat, digits[:3]])
    count, pairs = near_duplicates(images, np.array(["train", "test", "val", "train", "test", "val"]), 0.5)
    assert all({pair.held_out, pair.other}.isdisjoint({0, 1, 2}) for pair in pairs)
    assert count == len(pairs)


def test_dropped_rows_and_pairs_inside_a_split_do_not_count(digits: Images) -> None:
    images = np.repeat(digits[:1], 5, axis=0)
    assert near_duplicates(images, np.array(["train"] * 4 + ["dropped"]), 0.9) == (0, [])


def test_a_perfect_correlation_counts_at_the_highest_threshold(digits: Images) -> None:
    images = np.concatenate([digits[:50], digits[:50]])
    count, pairs = near_duplicates(images, np.array(["train"] * 50 + ["test"] * 50), 1.0)
    assert count == 50
    assert {(pair.held_out, pair.other) for pair in pairs} == {(row + 50, row) for row in range(50)}


def test_many_equal_pairs_are_counted_and_the_first_are_listed(digits: Images) -> None:
    images = np.repeat(digits[:1], 3000, axis=0)  # more than a block on each side
    count, pairs = near_duplicates(images, np.array(["train"] * 1500 + ["test"] * 1500), 0.995)
    assert count == 1500 * 1500
    assert [(pair.held_out, pair.other) for pair in pairs] == [(1500, other) for other in range(LISTED)]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3]), st.integers(0, 2**32 - 1))
def test_thumbnails_are_means_of_blocks_in_gray(height: int, width: int, channels: int, seed: int) -> None:
    images = np.random.default_rng(seed).integers(0, 256, (3, channels, height, width), dtype=np.uint8)
    tall, wide = min(height, SIDE), min(width, SIDE)
    thumbnails = standardized_thumbnails(images)
    assert thumbnails.shape == (3, tall * wide)
    tops = [*(row * height // tall for row in range(tall)), height]
    lefts = [*(column * width // wide for column in range(wide)), width]
    blocks = np.array(
        [
            [
                image[:, tops[r] : tops[r + 1], lefts[c] : lefts[c + 1]].mean()
                for r in range(tall)
                for c in range(wide)
            ]
            for image in images
        ]
    )
    centred = blocks - blocks.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    expected = centred / np.where(lengths < 1e-9, np.inf, lengths)
    assert np.allclose(thumbnails, expected, atol=1e-6)


@pytest.mark.parametrize("threshold", [0.97, 0.98])
def test_all_pairs_are_found_without_regard_to_splits(digits: Images, threshold: float) -> None:
    table = np.corrcoef(digits.reshape(len(digits), -1).astype(np.float64)).round(6)
    expected = [(a, b) for a, b in np.argwhere(table >= threshold).tolist() if a < b]
    assert len(expected) > 10
    assert near_pairs(digits, threshold).tolist() == [[a, b] for a, b in sorted(expected)]


def test_a_picture_saved_again_in_another_size_and_format_is_a_near_copy() -> None:
    form = ImageFormat(64, 64, 3, "pad", 10**6, "edge")
    smooth = [noise(seed, (9, 7)).resize((180, 140), Image.Resampling.BICUBIC) for seed in range(6)]
    files = [encoded(image, "png") for image in smooth]
    files.append(encoded(smooth[2].resize((90, 70)), "jpg", quality=60))
    files.append(encoded(smooth[4], "webp", quality=50))
    images = np.stack([decode(io.BytesIO(content), form).pixels for content in files])
    assert near_pairs(images, 0.995).tolist() == [[2, 6], [4, 7]]


def test_no_pairs_have_the_shape_of_pairs(digits: Images) -> None:
    assert near_pairs(digits[:20], 1.0).shape == (0, 2)


def test_too_many_pairs_are_refused(digits: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leakage, "MOST_PAIRS", 44)
    assert len(near_pairs(np.repeat(digits[:1], 9, axis=0), 0.99)) == 36
    with pytest.raises(AssayError, match=r"more than 44 pairs .* raise data\.near_threshold"):
        near_pairs(np.repeat(digits[:1], 11, axis=0), 0.99)


def test_all_pairs_are_counted_and_fifty_are_listed():
    picture = np.random.default_rng(0).integers(0, 256, (1, 1, 12, 12), dtype=np.uint8)
    images, splits = np.repeat(picture, 61, axis=0), np.array(["train", *["test"] * 60])
    count, listed = near_duplicates(images, splits, 0.9)
    assert (count, len(listed)) == (60, 50)
    assert [(pair.held_out, pair.other) for pair in listed] == [(row, 0) for row in range(1, 51)]
