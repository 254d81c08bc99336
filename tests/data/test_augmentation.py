"""Properties of the random changes: what every one keeps, and what each one does."""

import math
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from torch import Tensor

from src.config.schema.augment import Augment, Operation
from src.data.loading.augmentation import Augmentation

GRAY = [
    {"name": "crop", "padding": 2},
    {"name": "flip", "axis": "horizontal", "p": 0.5},
    {"name": "flip", "axis": "vertical", "p": 0.5},
    {"name": "rotate", "degrees": 30.0},
    {"name": "scale", "low": 0.7, "high": 1.4},
    {"name": "translate", "fraction": 0.2},
    {"name": "shear", "degrees": 15.0},
    {"name": "erase", "p": 0.9, "area": 0.3},
    {"name": "brightness", "strength": 0.5},
    {"name": "contrast", "strength": 0.5},
    {"name": "noise", "std": 0.1, "p": 0.9},
    {"name": "blur", "sigma": 1.5, "p": 0.9},
]
COLOR = [{"name": "saturation", "strength": 0.8}, {"name": "hue", "strength": 0.5}]
ALL = GRAY + COLOR


def augmentation(*operations: dict) -> Augmentation:
    return Augmentation([TypeAdapter(Operation).validate_python(one) for one in operations])


def apply(images: Tensor, *operations: dict, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    return augmentation(*operations)(images)


def pictures(count: int = 16, channels: int = 3, height: int = 12, width: int = 10) -> Tensor:
    return torch.rand(count, channels, height, width, generator=torch.Generator().manual_seed(5))


def name_of(operation: dict) -> str:
    return operation["name"]


@settings(max_examples=60, deadline=None)
@given(
    operations=st.lists(st.sampled_from(GRAY), max_size=5),
    count=st.integers(1, 5),
    channels=st.sampled_from([1, 3]),
    height=st.integers(2, 20),
    width=st.integers(2, 20),
    seed=st.integers(0, 2**40),
)
def test_shape_range_and_repeatability(operations, count, channels, height, width, seed):
    images = pictures(count, channels, height, width)
    before = images.clone()
    changed = apply(images, *operations, seed=seed)
    assert changed.shape == images.shape and changed.dtype == torch.float32
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert torch.equal(changed, apply(images, *operations, seed=seed))
    assert torch.equal(images, before)  # nothing is changed in place


@pytest.mark.parametrize("operation", ALL, ids=name_of)
def test_images_of_a_batch_change_each_its_own_way(operation):
    same = pictures(1).expand(32, -1, -1, -1)
    changed = apply(same, operation)
    kinds = {tuple(image.flatten().tolist()) for image in changed}
    assert len(kinds) >= 2 if operation["name"] == "flip" else len(kinds) >= 8


@pytest.mark.parametrize("operation", ALL, ids=name_of)
def test_another_seed_gives_another_result(operation):
    images = pictures(32)
    assert not torch.equal(apply(images, operation, seed=1), apply(images, operation, seed=2))


@pytest.mark.parametrize("operation", [one for one in ALL if "p" in one], ids=name_of)
def test_probability_nought_changes_nothing(operation):
    assert torch.equal(apply(pictures(), operation | {"p": 0.0}), pictures())


@pytest.mark.parametrize("operation", [one for one in ALL if "strength" in one], ids=name_of)
def test_little_strength_changes_little(operation):
    changed = apply(pictures(), operation | {"strength": 1e-4})
    torch.testing.assert_close(changed, pictures(), atol=1e-3, rtol=0)


def test_no_operations_are_the_identity():
    assert torch.equal(apply(pictures()), pictures())


def test_probability_is_met():
    images = pictures(4000, 1, 2, 3)
    changed = apply(images, {"name": "flip", "axis": "horizontal", "p": 0.3})
    share = (changed != images).flatten(1).any(1).float().mean()
    assert abs(share - 0.3) < 4 * math.sqrt(0.3 * 0.7 / 4000)


@pytest.mark.parametrize(("axis", "dimension"), [("horizontal", -1), ("vertical", -2)])
def test_flip_mirrors(axis, dimension):
    assert torch.equal(
        apply(pictures(), {"name": "flip", "axis": axis, "p": 1.0}), pictures().flip(dimension)
    )


def test_crop_shifts_whole_pixels_up_to_the_padding():
    images = torch.zeros(400, 1, 9, 9)
    images[:, :, 4, 4] = 1
    places = apply(images, {"name": "crop", "padding": 2}).flatten(1).argmax(1)
    rows, columns = places // 9, places % 9
    assert set(rows.tolist()) == set(columns.tolist()) == {2, 3, 4, 5, 6}
    assert len(set(places.tolist())) == 25


def test_rotation_keeps_its_limit():
    images = torch.zeros(300, 1, 41, 41)
    images[:, :, 20, 35] = 1  # 15 pixels to the right of the centre
    changed = apply(images, {"name": "rotate", "degrees": 40.0})
    rows, columns = centre_of_mass(changed)
    angles = torch.rad2deg(torch.atan2(rows - 20, columns - 20))
    assert angles.abs().max() <= 41
    assert angles.min() < -30 and angles.max() > 30
    torch.testing.assert_close(
        torch.hypot(rows - 20, columns - 20), torch.full((300,), 15.0), atol=0.5, rtol=0
    )


def test_scale_above_one_enlarges():
    images = torch.zeros(50, 1, 41, 41)
    images[:, :, 20, 30] = 1
    _, columns = centre_of_mass(apply(images, {"name": "scale", "low": 1.5, "high": 1.5}))
    torch.testing.assert_close(columns, torch.full((50,), 35.0), atol=0.5, rtol=0)


def test_translation_is_a_share_of_each_side():
    images = torch.zeros(500, 1, 21, 41)
    images[:, :, 10, 20] = 1
    rows, columns = centre_of_mass(apply(images, {"name": "translate", "fraction": 0.2}))
    assert 3.5 < (rows - 10).abs().max() <= 4.3
    assert 7.5 < (columns - 20).abs().max() <= 8.3


def test_shear_moves_rows_along_each_other():
    images = torch.zeros(300, 1, 41, 41)
    images[:, :, 5, 20] = 1  # 15 rows above the centre
    rows, columns = centre_of_mass(apply(images, {"name": "shear", "degrees": 20.0}))
    torch.testing.assert_close(rows, torch.full((300,), 5.0), atol=0.1, rtol=0)
    assert 4.5 < (columns - 20).abs().max() <= 15 * math.tan(math.radians(20)) + 0.1


def test_neighbouring_moves_are_the_sequence_of_both():
    """A quarter turn, then a shift: one interpolation gives what two exact steps give."""
    images = torch.zeros(1, 1, 21, 21)
    images[0, 0, 10, 15] = 1
    turn = {"name": "rotate", "degrees": 90.0}
    shift = {"name": "translate", "fraction": 0.3}
    torch.manual_seed(0)
    angle = float(torch.rand(1) * 2 - 1) * 90
    across, down = ((torch.rand(1) * 2 - 1) * 0.3 * 21 for _ in range(2))
    rows, columns = centre_of_mass(apply(images, turn, shift))
    back = math.radians(angle)
    # The source of a place p is R (p + t), so the point q = (5, 0) lands at R⁻¹ q - t with R as drawn.
    expected = (-across + 5 * math.cos(back), -down + 5 * math.sin(back))
    torch.testing.assert_close(columns - 10, expected[0], atol=0.1, rtol=0)
    torch.testing.assert_close(rows - 10, expected[1], atol=0.1, rtol=0)


def test_erasing_hides_one_rectangle_of_at_most_the_area():
    images = torch.full((500, 1, 20, 20), 2.0)  # no noise reaches 2
    hidden = (apply(images, {"name": "erase", "p": 1.0, "area": 0.2}) != 2)[:, 0]
    rows, columns = hidden.any(2).sum(1), hidden.any(1).sum(1)
    assert torch.equal(hidden.sum((1, 2)), rows * columns)  # a rectangle
    assert 0.1 < hidden.float().mean((1, 2)).max() <= 0.25  # rounded to whole pixels
    assert 0.05 < hidden.float().mean() < 0.15


def test_blur_smooths_and_keeps_the_mean():
    images = torch.rand(200, 1, 24, 24)
    blurred = apply(images, {"name": "blur", "sigma": 2.0, "p": 1.0})
    assert (blurred.var((1, 2, 3)) <= images.var((1, 2, 3)) + 1e-6).all()
    torch.testing.assert_close(blurred.mean((1, 2, 3)), images.mean((1, 2, 3)), atol=0.03, rtol=0)


def test_gray_pixels_have_no_hue_and_no_saturation():
    gray = pictures(channels=1).expand(-1, 3, -1, -1)
    torch.testing.assert_close(apply(gray, *COLOR), gray, atol=1e-5, rtol=0)


def test_hue_keeps_the_brightest_channel():
    changed = apply(pictures(), {"name": "hue", "strength": 0.5})
    torch.testing.assert_close(changed.amax(1), pictures().amax(1), atol=1e-4, rtol=0)


@pytest.mark.parametrize("preset", ["none", "light", "strong"])
def test_presets_keep_the_mean_image_recognizable(preset):
    text = Path("conf/augment", f"{preset}.yaml").read_text(encoding="utf-8")
    section = Augment.model_validate(yaml.safe_load(text))
    torch.manual_seed(0)
    images = torch.zeros(300, 3, 28, 28)
    images[:, :, 8:20, 8:20] = 0.8
    mean = Augmentation(section.operations)(images).mean(0)
    both = torch.stack([mean.flatten(), images[0].flatten()])
    assert torch.corrcoef(both)[0, 1] > 0.85


def centre_of_mass(images: Tensor) -> tuple[Tensor, Tensor]:
    """Row and column (B,) of gray images (B, 1, H, W)."""
    weights = images[:, 0] / images.sum((1, 2, 3))[:, None, None]
    rows = (weights.sum(2) * torch.arange(weights.shape[1])).sum(1)
    return rows, (weights.sum(1) * torch.arange(weights.shape[2])).sum(1)
