"""The exported file says what the network says, for any batch size, and has the same bytes in any folder."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from src.compression.onnx.export import export_onnx
from src.compression.parity import largest_difference, onnx_logits
from src.config.schema.model import Cnn, Lenet, Rnn
from src.core.hashing import file_hash
from src.models.build import build_model
from src.models.normalization import NormalizedModel
from src.models.size import count_macs, count_nonzero, count_parameters
from tests.support.training_tasks import ENLARGED, model_names, model_section
from tests.support.workspaces import ROOT

CNN = Cnn(
    kind="cnn",
    widths=[8, 16],
    kernel_size=3,
    activation="silu",
    pooling="avg",
    batch_norm=True,
    dropout=0.3,
)
RECURRENT = Rnn(kind="rnn", cell="lstm", units=6, layers=2, bidirectional=True, dropout=0.1)
MODELS = [CNN, Lenet(kind="lenet", activation="tanh", dropout=0.1), RECURRENT]


def make(section, channels=3, size=32):
    torch.manual_seed(0)
    network = build_model(section, channels, 5, (size, size))
    return NormalizedModel(network, [0.2] * channels, [0.3] * channels).eval()


def pictures(count, channels=3, size=32):
    return np.random.default_rng(0).integers(0, 256, (count, channels, size, size), dtype=np.uint8)


@pytest.fixture(scope="module", params=MODELS, ids=lambda section: section.kind)
def exported(request, tmp_path_factory):
    model, path = make(request.param), tmp_path_factory.mktemp("onnx") / "model.onnx"
    export_onnx(model, torch.from_numpy(pictures(2)), path)
    return model, path


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 7])
def test_the_file_agrees_with_the_network_for_any_batch_size(exported, count):
    model, path = exported
    with torch.inference_mode():
        expected = model(torch.from_numpy(pictures(count))).numpy()
    assert largest_difference(expected, onnx_logits(path, pictures(count), threads=1)) < 1e-4


def test_the_file_takes_raw_pixels_and_names_its_ends(exported):
    graph = onnx.load(exported[1]).graph
    assert [(each.name, each.type.tensor_type.elem_type) for each in graph.input] == [
        ("images", onnx.TensorProto.UINT8)
    ]
    assert [each.name for each in graph.output] == ["logits"]


def test_batches_do_not_change_the_answer(exported):
    whole = onnx_logits(exported[1], pictures(9), threads=1, batch_size=9)
    assert largest_difference(whole, onnx_logits(exported[1], pictures(9), threads=1, batch_size=2)) < 1e-5


@pytest.mark.prove
@pytest.mark.parametrize("name", model_names())
def test_every_model_is_exported_and_agrees(name, tmp_path):
    side = 8 * ENLARGED.get(name, 1)
    model, path = make(model_section(name), 1, side), tmp_path / "model.onnx"
    export_onnx(model, torch.from_numpy(pictures(2, 1, side)), path)
    for count in (1, 5):
        with torch.inference_mode():
            expected = model(torch.from_numpy(pictures(count, 1, side))).numpy()
        found = onnx_logits(path, pictures(count, 1, side), threads=1)
        scale = max(1.0, float(np.abs(expected).max()))  # an untrained Inception says 10^10
        assert largest_difference(expected, found) < 1e-3 * scale


@pytest.mark.prove
def test_another_folder_and_process_give_the_same_bytes(tmp_path):
    """torch writes stack traces with absolute paths into the file unless they are taken out."""
    hashes = []
    for name in ("one", "another folder"):
        folder = tmp_path / name
        folder.mkdir()
        for package in ("src", "tests"):
            (folder / package).symlink_to(ROOT / package)
        script = folder / "export.py"
        script.write_text(Path(__file__).read_text() + SCRIPT)
        subprocess.run([sys.executable, script.name], cwd=folder, env={"PYTHONPATH": "."}, check=True)
        hashes.append(file_hash(folder / "model.onnx"))
        assert str(tmp_path).encode() not in (folder / "model.onnx").read_bytes()
    assert hashes[0] == hashes[1]


SCRIPT = """
export_onnx(make(MODELS[0]), torch.from_numpy(pictures(2)), Path("model.onnx"))
"""


def test_complexity_of_a_layer_that_can_be_counted_by_hand():
    layer = torch.nn.Conv2d(3, 8, kernel_size=3, padding=1, bias=False)
    with torch.no_grad():
        layer.weight[0] = 0
    assert count_parameters(layer) == 8 * 3 * 9
    assert count_nonzero(layer) == 7 * 3 * 9
    assert count_macs(layer, torch.zeros(1, 3, 10, 10)) == 8 * 3 * 9 * 100
