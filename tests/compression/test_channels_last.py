"""Images are turned once, and say the same as before."""

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest

from src.compression import post_training
from src.compression.export_step import export
from src.compression.onnx.channels_last import keep_channels_last
from src.compression.parity import onnx_logits
from src.compression.post_training import quantize_static
from src.config.schema.compress import Export, QuantizeStatic
from tests.support.digits import digits, make_context, make_timm, trained

STEP = QuantizeStatic(name="quantize_static", images=200, calibration="minmax", per_channel=True)


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    return make_context(trained(), tmp_path_factory.mktemp("layout"))


@pytest.fixture(scope="module")
def plain(context):
    return export(trained(), Export(name="export"), context)


@pytest.fixture
def as_it_was(plain, context, monkeypatch):
    """Content of the int8 model without what is tested here."""
    monkeypatch.setattr(post_training, "keep_channels_last", lambda model: None)
    return quantize_static(plain, STEP, context).content


def turns(content, folder):
    """The values that ONNX Runtime transposes in a session."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    options.log_severity_level = 3  # it warns that what it writes suits this machine only
    onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    graph = onnx.load(options.optimized_model_filepath).graph
    return [node.input[0] for node in graph.node if node.op_type == "Transpose"]


@pytest.mark.slow
def test_the_first_residual_block_is_not_transposed(plain, context, as_it_was, tmp_path):
    turned = keep(as_it_was)
    before, after = turns(as_it_was, tmp_path), turns(turned, tmp_path)
    # The one that is left is of a mean, which is one pixel.
    assert (len(before), len(after)) == (4, 1)
    assert set(after) <= set(before)


def test_logits_stay_to_the_last_bit(as_it_was):
    images = digits()[0]
    assert np.array_equal(onnx_logits(as_it_was, images, 2), onnx_logits(keep(as_it_was), images, 2))


def test_a_model_without_rounding_stays(plain):
    assert keep(plain.content) == plain.content


@pytest.mark.slow
def test_what_is_not_pooled_is_left_alone(tmp_path):
    """Narrow convolutions of a timm network stay float; turning behind each costs more than it saves."""
    model, images = make_timm("test_resnet", 16)
    context = replace(make_context(trained(), tmp_path), images=images, train_rows=np.arange(len(images)))
    int8 = quantize_static(export(model, Export(name="export"), context), STEP, context)
    assert "Gather" not in {node.op_type for node in onnx.load_from_string(int8.content).graph.node}


def test_a_height_that_is_free_is_left_alone(as_it_was):
    model = onnx.load_from_string(as_it_was)
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    free = model.SerializeToString()
    assert "Gather" not in {node.op_type for node in onnx.load_from_string(keep(free)).graph.node}


def keep(content):
    model = onnx.load_from_string(content)
    keep_channels_last(model)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)
