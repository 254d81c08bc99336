"""int8 after training: smaller, about as right, from training rows only, and the same bytes everywhere."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from scipy.special import log_softmax

from src.compression.artifacts import OnnxModel
from src.compression.export_step import export
from src.compression.onnx.export import export_onnx
from src.compression.onnx.graph_rewrite import rewrite
from src.compression.onnx.library_errors import UnsupportedModelError
from src.compression.parity import check_parity, largest_difference, onnx_logits, torch_logits
from src.compression.post_training import quantize_dynamic, quantize_static
from src.compression.tta import tta
from src.compression.voting import EnsembleNetwork
from src.config.schema.compress import Export, QuantizeDynamic, QuantizeStatic, Tta
from src.core.hashing import file_hash
from tests.support.digits import (
    TEST_ROWS,
    TRAIN_ROWS,
    VAL_ROWS,
    accuracy,
    digits,
    make_context,
    make_timm,
    trained,
)
from tests.support.workspaces import ROOT

EXPORT = Export(name="export")
# The smallest of each family of timm, and how much smaller they get: little where layers are narrow.
FAMILIES = {
    "test_resnet": 3.0,
    "mobilenetv3_small_050": 2.3,
    "test_efficientnet": 1.9,
    "regnetx_002": 3.3,
    "test_vit": 2.5,
}
SLOW = ("mobilenetv3_small_050", "regnetx_002", "test_vit")


def static(calibration="minmax", per_channel=True, images=200):
    return QuantizeStatic(
        name="quantize_static", images=images, calibration=calibration, per_channel=per_channel
    )


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    return make_context(trained(), tmp_path_factory.mktemp("quantize"))


@pytest.fixture(scope="module")
def plain(context):
    return export(trained(), EXPORT, context)


def judge(model, images, threshold=0.95):
    return check_parity(
        model, onnx_logits(model.content, images, 2), torch_logits(model.source, images), 1e-3, threshold
    )


@pytest.mark.slow
@pytest.mark.parametrize("calibration", ["minmax", "entropy", "percentile"])
@pytest.mark.parametrize("per_channel", [True, False])
def test_static_int8_is_a_third_of_the_size_and_about_as_right(plain, context, calibration, per_channel):
    model, images = quantize_static(plain, static(calibration, per_channel), context), digits()[0][VAL_ROWS]
    assert len(plain.content) >= 3 * len(model.content)
    before, after = (accuracy(onnx_logits(each.content, images, 2), VAL_ROWS) for each in (plain, model))
    assert before > 0.95
    assert after >= before - 0.01
    assert judge(model, images, 0.98).reason is None


def test_weights_are_int8_and_all_values_between_kernels_uint8(plain, context):
    graph = onnx.load_from_string(quantize_static(plain, static(), context).content).graph
    weights = [
        each for each in graph.initializer if each.data_type == TensorProto.INT8 and len(each.dims) > 1
    ]
    kernels = [node for node in graph.node if node.op_type in ("Conv", "Gemm")]
    makers = {value: node.op_type for node in graph.node for value in node.output}
    assert len(weights) == len(kernels) - 1  # the first convolution has 9 products in a sum, and stays float
    assert [makers[node.input[0]] for node in kernels[1:]] == ["DequantizeLinear"] * len(weights)
    assert not {"BatchNormalization", "ReduceMean"} & {node.op_type for node in graph.node}
    assert [(each.name, each.type.tensor_type.elem_type) for each in (*graph.input, *graph.output)] == [
        ("images", TensorProto.UINT8),
        ("logits", TensorProto.FLOAT),
    ]


def test_logits_are_not_rounded(plain, context):
    """256 values for all logits together would leave few different ones."""
    logits = onnx_logits(quantize_static(plain, static(), context).content, digits()[0], 2)
    assert len(np.unique(logits)) > 1000


def test_calibration_sees_training_rows_only(plain, context):
    poisoned = digits()[0].copy()
    poisoned[np.concatenate([VAL_ROWS, TEST_ROWS])] = 255
    clean = quantize_static(plain, static(images=5000), context)
    assert (
        quantize_static(plain, static(images=5000), replace(context, images=poisoned)).content
        == clean.content
    )
    poisoned[TRAIN_ROWS] = 0
    assert (
        quantize_static(plain, static(images=5000), replace(context, images=poisoned)).content
        != clean.content
    )


def test_the_seed_draws_the_calibration_images(plain, context):
    same, other = (
        quantize_static(plain, static(images=16), replace(context, seed=seed)).content for seed in (3, 4)
    )
    assert quantize_static(plain, static(images=16), context).content == same != other


@pytest.mark.parametrize("per_channel", [True, False])
def test_dynamic_int8_is_a_third_of_the_size_and_about_as_right(plain, context, per_channel):
    step = QuantizeDynamic(name="quantize_dynamic", per_channel=per_channel)
    model, images = quantize_dynamic(plain, step, context), digits()[0][VAL_ROWS]
    assert len(plain.content) >= 3 * len(model.content)
    assert accuracy(onnx_logits(model.content, images, 2), VAL_ROWS) > 0.95
    assert judge(model, images, 0.98).reason is None
    assert model.content == quantize_dynamic(plain, step, context).content


@pytest.mark.prove
def test_another_folder_and_process_give_the_same_bytes(tmp_path, plain):
    """With another order of Python's sets, which the quantizer has several of."""
    hashes = []
    for seed, name in enumerate(("one", "another folder")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "plain.onnx").write_bytes(plain.content)
        environment = {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": str(seed)}
        subprocess.run([sys.executable, "-c", SCRIPT], cwd=folder, env=environment, check=True)
        hashes.append([file_hash(folder / f"{kind}.onnx") for kind in ("static", "dynamic")])
        assert sorted(path.name for path in folder.iterdir()) == ["dynamic.onnx", "plain.onnx", "static.onnx"]
        assert str(tmp_path).encode() not in (folder / "static.onnx").read_bytes()
    assert hashes[0] == hashes[1]


SCRIPT = """
from pathlib import Path
from torch import nn
from src.compression.artifacts import OnnxModel, TorchModel
from src.compression.post_training import quantize_dynamic, quantize_static
from src.config.schema.compress import QuantizeDynamic, QuantizeStatic
from tests.support.digits import make_context
model = OnnxModel(Path("plain.onnx").read_bytes(), TorchModel(nn.Identity(), None))
context = make_context(None, Path.cwd())
step = QuantizeStatic(name="quantize_static", images=100, calibration="entropy", per_channel=True)
Path("static.onnx").write_bytes(quantize_static(model, step, context).content)
step = QuantizeDynamic(name="quantize_dynamic", per_channel=True)
Path("dynamic.onnx").write_bytes(quantize_dynamic(model, step, context).content)
"""


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.prove] if name in SLOW else []) for name in FAMILIES],
)
def test_families_of_timm(tmp_path, name):
    """Random weights make predictions that mean little: that logits stay near is asked."""
    model, images = make_timm(name, 16)
    context = make_context(model, tmp_path, images=images, train_rows=np.arange(48))
    exported = export(model, EXPORT, context)
    expected = onnx_logits(exported.content, images, 2)
    assert check_parity(exported, expected, torch_logits(model, images), 1e-3, 0.95).reason is None
    quantized = quantize_static(exported, static(), context)
    assert len(exported.content) > FAMILIES[name] * len(quantized.content)
    error = onnx_logits(quantized.content, images, 2) - expected
    assert np.sqrt(np.mean(error**2)) < 0.1 * expected.std()


def test_a_model_without_weights_of_its_own_is_a_result_with_a_reason(context):
    nodes = [
        helper.make_node("Cast", ["images"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["float"], ["logits"]),
    ]
    ends = [
        helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", 1, 8, 8]),
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 64]),
    ]
    proto = helper.make_model(
        helper.make_graph(nodes, "plain", ends[:1], ends[1:]), opset_imports=[helper.make_opsetid("", 20)]
    )
    proto.ir_version = 10
    model = OnnxModel(proto.SerializeToString(), trained())
    for step, method in (
        (static(), quantize_static),
        (QuantizeDynamic(name="quantize_dynamic", per_channel=False), quantize_dynamic),
    ):
        with pytest.raises(UnsupportedModelError, match="finds no weights to convert to int8 in this model"):
            method(model, step, context)


def test_a_damaged_model_is_a_result_with_a_short_reason(context):
    with pytest.raises(
        UnsupportedModelError, match=r"^ONNX Runtime's quantizer does not support this model: "
    ) as caught:
        quantize_static(OnnxModel(b"no model", trained()), static(), context)
    assert len(str(caught.value)) < 250


@pytest.mark.slow
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("channels", [1, 16])
def test_rewriting_changes_operators_and_not_the_function(tmp_path, sign, channels):
    """A norm with a negative scale may not go through a MaxPool."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(channels, 8, 3, padding=1),
        torch.nn.MaxPool2d(2),
        torch.nn.BatchNorm2d(8),
        torch.nn.ReLU(),
        torch.nn.Conv2d(8, 8, 3),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
    ).eval()
    with torch.no_grad():
        network[2].running_mean.normal_()
        network[2].weight.copy_(torch.linspace(0.5, 2, 8))
        network[2].weight[3] *= sign
        network[2].bias.normal_()
    images = np.random.default_rng(0).normal(size=(5, channels, 12, 12)).astype(np.float32)
    export_onnx(network, torch.from_numpy(images), tmp_path / "before.onnx")
    proto = onnx.load(tmp_path / "before.onnx")
    rewrite(proto)
    onnx.checker.check_model(proto, full_check=True)
    kinds = [node.op_type for node in proto.graph.node]
    assert "BatchNormalization" not in kinds
    assert "GlobalAveragePool" in kinds
    assert kinds[:3] == (["Conv", "MaxPool", "Conv"] if sign < 0 else ["Conv", "Relu", "MaxPool"])
    expected = onnx_logits(tmp_path / "before.onnx", images, 1)
    assert largest_difference(expected, onnx_logits(proto.SerializeToString(), images, 1)) < 1e-5


def roundings(file: OnnxModel) -> int:
    nodes = onnx.load_from_string(file.content).graph.node
    return sum(node.op_type == "QuantizeLinear" for node in nodes)


@pytest.mark.slow
def test_the_logits_that_vote_stay_float_in_int8(plain, context):
    """A single voter answers what it answers alone, to the last bits."""
    images = digits()[0][VAL_ROWS]
    alone = onnx_logits(quantize_static(plain, static(), context).content, images, 1).astype(np.float64)
    original = Tta.model_validate({"name": "tta", "views": [{"name": "original"}]})
    for voter in (
        replace(trained(), network=EnsembleNetwork([trained().network])),
        tta(trained(), original, context),
    ):
        quantized = quantize_static(export(voter, EXPORT, context), static(), context)
        logits = onnx_logits(quantized.content, images, 1)
        np.testing.assert_allclose(logits, log_softmax(alone, axis=1), atol=1e-4)


@pytest.mark.slow
def test_an_ensemble_rounds_what_its_members_round(plain, context):
    other = trained().network
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.1)
    both = replace(trained(), network=EnsembleNetwork([trained().network, other]))
    quantized = quantize_static(export(both, EXPORT, context), static(), context)
    assert roundings(quantized) == 2 * roundings(quantize_static(plain, static(), context)) > 0


@pytest.mark.slow
def test_pixels_of_a_view_are_not_rounded_again(plain, context):
    """They have 256 values already, and each rounding takes time."""
    views = [{"name": "original"}, {"name": "shift", "right": 1, "down": 0}]
    step = Tta.model_validate({"name": "tta", "views": views})
    seen = quantize_static(export(tta(trained(), step, context), EXPORT, context), static(), context)
    assert roundings(seen) == roundings(quantize_static(plain, static(), context)) > 0
