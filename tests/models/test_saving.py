"""A stored model is the same bytes each time, and the same model when it comes back."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from src.config.schema.model import Cnn, Lenet, ModelConfig, Timm
from src.core.errors import AssayError
from src.models.build import build_model
from src.models.inference import predict_logits
from src.models.normalization import NormalizedModel
from src.models.saving import SPEC, WEIGHTS, Input, ModelSpec, Normalization, load_model, save_model

CNN = Cnn(
    kind="cnn", widths=[4, 8], kernel_size=3, activation="relu", pooling="max", batch_norm=True, dropout=0.5
)
LENET = Lenet(kind="lenet", activation="tanh", dropout=0.0)
RESNET = Timm(kind="timm", name="resnet10t", weights=None, stem="auto", dropout=0.1, drop_path=0.0)


def spec(model: ModelConfig) -> ModelSpec:
    return ModelSpec(
        model,
        ["ant", "bee", "Käfer"],
        Input(3, 12, 14, "pad", 10**6),
        Normalization([0.1, 0.2, 0.3], [1.0, 0.5, 0.25]),
    )


def network(model: ModelConfig, seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    return build_model(model, 3, 3, (12, 14)).eval()


@pytest.mark.parametrize("model", [CNN, LENET, RESNET], ids=["cnn", "lenet", "timm"])
def test_comes_back_as_it_was(tmp_path, model):
    before = network(model)
    save_model(tmp_path, before, spec(model))
    after, found = load_model(tmp_path)
    assert found == spec(model)
    images = torch.rand(5, 3, 12, 14)
    with torch.inference_mode():
        assert torch.equal(before(images), after(images))


def test_its_decision_rule_comes_back(tmp_path):
    rule = {"method": "thresholds", "of_class": "Käfer", "thresholds": {"Käfer": 0.1 + 0.2}}
    save_model(tmp_path, network(CNN), replace(spec(CNN), decision=rule))
    assert load_model(tmp_path)[1].decision == rule


def test_bytes_depend_on_the_weights_only(tmp_path):
    save_model(tmp_path / "a", network(CNN), spec(CNN))
    save_model(tmp_path / "b", network(CNN).to(memory_format=torch.channels_last), spec(CNN))
    for name in (WEIGHTS, SPEC):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_spec_is_readable(tmp_path):
    save_model(tmp_path, network(CNN), spec(CNN))
    content = json.loads((tmp_path / SPEC).read_text(encoding="utf-8"))
    assert list(content) == [
        "model",
        "classes",
        "input",
        "normalization",
        "temperature",
        "decision",
        "trained_on",
        "started_from",
    ]
    assert content["input"] == {
        "channels": 3,
        "height": 12,
        "width": 14,
        "resize_mode": "pad",
        "max_pixels": 10**6,
        "pad": "black",
    }
    assert content["model"]["widths"] == [4, 8]


def test_a_spec_that_names_no_padding_is_of_a_time_when_it_was_black(tmp_path):
    save_model(tmp_path, network(CNN), spec(CNN))
    content = json.loads((tmp_path / SPEC).read_text(encoding="utf-8"))
    del content["input"]["pad"]
    (tmp_path / SPEC).write_text(json.dumps(content))
    assert load_model(tmp_path)[1].input.pad == "black"


@pytest.mark.slow
@pytest.mark.parametrize("name", [WEIGHTS, SPEC])
@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_damaged_file_is_named(tmp_path, name, damage):
    save_model(tmp_path, network(CNN), spec(CNN))
    path = tmp_path / name
    whole = path.read_bytes()
    path.unlink()
    if damage == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(AssayError, match=rf"{name} cannot be read.*dvc checkout"):
        load_model(tmp_path)


def test_weights_of_another_model_are_refused(tmp_path):
    save_model(tmp_path, network(LENET), spec(CNN))
    with pytest.raises(AssayError, match="cannot be read") as caught:
        load_model(tmp_path)
    assert "\n" not in str(caught.value), "torch has a line for each weight"


def test_normalized_model_takes_stored_images():
    inner = network(CNN)
    images = torch.randint(0, 256, (4, 3, 12, 14), dtype=torch.uint8)
    whole = NormalizedModel(inner, [0.1, 0.2, 0.3], [1.0, 0.5, 0.25]).eval()
    shift, scale = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([1.0, 0.5, 0.25])
    expected = (images / 255 - shift[:, None, None]) / scale[:, None, None]
    with torch.inference_mode():
        torch.testing.assert_close(whole(images), inner(expected))


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_predicted_logits_keep_the_order_of_the_rows(batch_size):
    inner = network(CNN)
    images = np.random.default_rng(0).integers(0, 256, (9, 3, 12, 14), dtype=np.uint8)
    rows = np.array([7, 1, 8, 0, 3])
    found = predict_logits(inner, spec(CNN), images, rows, batch_size=batch_size, device="cpu")
    whole = NormalizedModel(inner, [0.1, 0.2, 0.3], [1.0, 0.5, 0.25]).eval()
    with torch.inference_mode():
        expected = whole(torch.from_numpy(images[rows])).numpy()
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)
