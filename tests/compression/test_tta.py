"""Test-time augmentation: which views are seen, that their answers vote, and that they are in the file."""

import math
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from scipy.special import softmax
from torch import nn

from src.compression.artifacts import TorchModel
from src.compression.export_step import export
from src.compression.onnx.library_errors import UnsupportedModelError
from src.compression.parity import check_parity, onnx_logits, torch_logits
from src.compression.qat import quantize_aware_train
from src.compression.result import size_of
from src.compression.steps import run_steps
from src.compression.tta import tta
from src.config.schema.compress import Ensemble, Export, QuantizeAwareTrain, Tta
from src.models.saving import Input, Normalization
from src.models.size import count_macs, count_parameters
from src.serving.pyfunc import ImageClassifier
from tests.support.digits import CNN, VAL_ROWS, digits, make_context, make_spec, trained

HEIGHT, WIDTH = 7, 10
EXPORT = Export(name="export")
ORIGINAL = {"name": "original"}
SHIFTS = [
    {"name": "shift", "right": right, "down": down} for right, down in ((1, 0), (-2, 0), (0, 1), (3, -2))
]
FLIPS = [{"name": "flip", "axis": axis} for axis in ("horizontal", "vertical")]
ALL = [ORIGINAL, *SHIFTS, *FLIPS]


def step(*views) -> Tta:
    return Tta.model_validate({"name": "tta", "views": list(views)})


def small() -> TorchModel:
    """A random network on color images that are not square, normalized differently in each color."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 5 * 8, 10))
    spec = replace(
        make_spec(CNN),
        input=Input(3, HEIGHT, WIDTH, "pad", 10**6),
        normalization=Normalization([0.2, 0.4, 0.6], [0.1, 0.2, 0.3]),
    )
    return TorchModel(network.eval(), spec)


def noise(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 3, HEIGHT, WIDTH), dtype=np.uint8)


def seen(images: np.ndarray, view: dict) -> np.ndarray:
    """What the view shows, pixel by pixel; black where nothing was."""
    shown = np.zeros_like(images)
    height, width = images.shape[2:]
    for row in range(height):
        for column in range(width):
            source = [row - view.get("down", 0), column - view.get("right", 0)]
            source = [height - 1 - row, column] if view.get("axis") == "vertical" else source
            source = [row, width - 1 - column] if view.get("axis") == "horizontal" else source
            if 0 <= source[0] < height and 0 <= source[1] < width:
                shown[:, :, row, column] = images[:, :, source[0], source[1]]
    return shown


def probabilities(logits: np.ndarray) -> np.ndarray:
    return softmax(logits.astype(np.float64), axis=1)


def mean_probabilities(model: TorchModel, images: np.ndarray, views) -> np.ndarray:
    """Of the network as it is, shown each view."""
    return np.mean([probabilities(torch_logits(model, seen(images, view))) for view in views], axis=0)


@pytest.mark.parametrize("views", [[view] for view in ALL] + [[ORIGINAL, *FLIPS], ALL], ids=str)
def test_its_probabilities_are_the_mean_over_the_views(tmp_path, views):
    model = tta(small(), step(*views), make_context(small(), tmp_path))
    wanted = mean_probabilities(small(), noise(5), views)
    np.testing.assert_allclose(probabilities(torch_logits(model, noise(5))), wanted, atol=1e-5)


@pytest.mark.slow
def test_the_original_alone_gives_the_probabilities_of_the_base(tmp_path):
    images = digits()[0][VAL_ROWS]
    model = tta(trained(), step(ORIGINAL), make_context(trained(), tmp_path))
    expected = torch_logits(trained(), images)
    np.testing.assert_allclose(probabilities(torch_logits(model, images)), probabilities(expected), atol=1e-6)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tta")
    known = make_context(small(), folder, images=noise(9), train_rows=np.arange(2))
    model = tta(small(), step(*ALL), known)
    return model, export(model, EXPORT, known)


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 7])
def test_the_file_agrees_with_the_network_for_any_batch_size(exported, count):
    model, file = exported
    logits = onnx_logits(file.content, noise(count), 1)
    np.testing.assert_allclose(logits, torch_logits(model, noise(count)), atol=1e-4)


@pytest.mark.slow
def test_the_network_is_in_the_file_once_and_runs_once_for_each_view(exported):
    _, file = exported
    nodes = [node.op_type for node in onnx.load_from_string(file.content).graph.node]
    assert nodes.count("Conv") == 1
    assert size_of(file).parameters == count_parameters(small().network)
    assert size_of(file).macs == len(ALL) * count_macs(small().network, torch.zeros(1, 3, HEIGHT, WIDTH))


@pytest.mark.slow
def test_the_served_model_answers_with_the_vote(exported, tmp_path):
    model, file = exported
    (tmp_path / "model.onnx").write_bytes(file.content)
    (tmp_path / "model.json").write_text(model.spec.to_json())
    served = ImageClassifier()
    served.load_context(type("Context", (), {"artifacts": {"model": str(tmp_path)}}))
    answer = served.predict(None, {"image": noise(6)})
    wanted = mean_probabilities(small(), noise(6), ALL)
    np.testing.assert_allclose(answer[[f"p_{digit}" for digit in range(10)]], wanted, atol=1e-5)


@pytest.mark.parametrize(("right", "down"), [(WIDTH, 0), (-WIDTH, 0), (0, HEIGHT), (0, -HEIGHT - 1)])
def test_a_shift_that_leaves_nothing_of_the_image_is_refused_before_a_training(tmp_path, right, down):
    far = {"name": "shift", "right": right, "down": down}
    with pytest.raises(UnsupportedModelError, match=f"right={right}, down={down} .* of 10×7 pixels"):
        run_steps(
            [Ensemble(name="ensemble", members=2), step(ORIGINAL, far), EXPORT],
            make_context(small(), tmp_path),
        )
    assert not list(tmp_path.rglob("member-*"))


def test_a_shift_by_all_but_one_pixel_is_not(tmp_path):
    far = {"name": "shift", "right": WIDTH - 1, "down": 1 - HEIGHT}
    model = tta(small(), step(far), make_context(small(), tmp_path))
    wanted = mean_probabilities(small(), noise(3), [far])
    np.testing.assert_allclose(probabilities(torch_logits(model, noise(3))), wanted, atol=1e-5)


def test_a_vote_is_finite_where_float32_has_no_such_probability(tmp_path):
    """exp(-1000) is zero even in float64."""
    sure = nn.Sequential(nn.Flatten(), nn.Linear(3 * HEIGHT * WIDTH, 10))
    nn.init.zeros_(sure[1].weight)
    with torch.no_grad():
        sure[1].bias.copy_(torch.linspace(0, 1000, 10))
    model = tta(TorchModel(sure, small().spec), step(*FLIPS), make_context(small(), tmp_path))
    logits = torch_logits(model, noise(1))[0]
    assert logits[0] == pytest.approx(-1000)
    assert logits[9] == pytest.approx(0, abs=1e-6)


@pytest.mark.prove
def test_views_of_a_network_that_was_trained_in_int8(tmp_path):
    """Its size is that of the network before its conversion, once for each view."""
    context, images = make_context(trained(), tmp_path), digits()[0][VAL_ROWS]
    rounded = QuantizeAwareTrain(name="quantize_aware_train", epochs=1, lr=0.0005)
    views = [ORIGINAL, *SHIFTS[:1]]
    model = tta(quantize_aware_train(trained(), rounded, context), step(*views), context)
    file = export(model, EXPORT, context)
    expected = torch_logits(model, images)
    assert check_parity(file, onnx_logits(file.content, images, 1), expected, 1e-9, 0.98).reason is None
    assert size_of(file).macs == 2 * count_macs(trained().network, torch.zeros(1, 1, 8, 8))
    assert math.isclose(np.exp(expected).sum(1).mean(), 1, rel_tol=1e-4)
