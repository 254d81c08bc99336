"""Quantization-aware training: int8 at the end, as right as before, no trace of the validation images."""

import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto
from torch import nn

from src.compression.artifacts import OnnxModel, TorchModel
from src.compression.export_step import export
from src.compression.onnx.library_errors import UnsupportedModelError
from src.compression.parity import check_parity, onnx_logits, torch_logits
from src.compression.qat import convert, make_training, prepare, quantize_aware_train
from src.compression.result import size_of
from src.config.schema.compress import Export, QuantizeAwareTrain
from src.models.size import count_parameters
from src.training.fit import fit
from tests.support.digits import TRAIN_ROWS, VAL_ROWS, accuracy, digits, make_context, make_timm, trained

STEP = QuantizeAwareTrain(name="quantize_aware_train", epochs=1, lr=0.0005)


class StoppedError(Exception):
    """As if the process had been killed after an epoch."""


def normalized(model, images):
    norm = model.spec.normalization
    shift, scale = (torch.tensor(values).view(1, -1, 1, 1) for values in (norm.shift, norm.scale))
    return (torch.from_numpy(images).float() / 255 - shift) / scale


@pytest.fixture(scope="module")
def int8(tmp_path_factory):
    return quantize_aware_train(trained(), STEP, make_context(trained(), tmp_path_factory.mktemp("qat")))


@pytest.fixture(scope="module")
def file(int8, tmp_path_factory):
    return export(int8, Export(name="export"), make_context(trained(), tmp_path_factory.mktemp("export")))


@pytest.mark.prove
def test_the_file_says_what_the_converted_network_says_and_is_as_right(file):
    images = digits()[0][VAL_ROWS]
    logits = onnx_logits(file.content, images, 2)
    parity = check_parity(file, logits, torch_logits(file.source, images), 1e-9, 0.98)
    assert parity.reason is None
    before = trained().normalized()(torch.from_numpy(images)).detach().numpy()
    assert accuracy(logits, VAL_ROWS) >= accuracy(before, VAL_ROWS) - 0.01


@pytest.mark.prove  # torchao takes 20 seconds to convert any network
def test_any_batch_size(file):
    images = digits()[0][VAL_ROWS]
    whole = onnx_logits(file.content, images[:7], 1)
    single = np.concatenate([onnx_logits(file.content, images[i : i + 1], 1) for i in range(7)])
    assert (whole.argmax(1) == single.argmax(1)).all()


@pytest.mark.prove
def test_weights_are_int8_in_a_file_of_a_third(file, tmp_path):
    graph = onnx.load_from_string(file.content).graph
    weights = [
        each for each in graph.initializer if each.data_type == TensorProto.INT8 and len(each.dims) > 1
    ]
    # Two blocks of two, the second stage's first convolution, its norm as a convolution, the classifier.
    assert len(weights) == 7
    kinds = {node.op_type for node in graph.node}
    assert ("GlobalAveragePool" in kinds, "ReduceMean" in kinds) == (True, False)
    assert "Gather" in kinds  # channels last, see src/compression/onnx/channels_last.py
    plain = export(trained(), Export(name="export"), make_context(trained(), tmp_path))
    assert len(plain.content) >= 3 * len(file.content)


@pytest.mark.prove  # of every other training the same is shown in tests/training/test_resume.py
def test_a_training_that_was_stopped_goes_on_to_the_same_weights(tmp_path, int8):
    """Ranges are part of a checkpoint as weights are."""
    step = QuantizeAwareTrain(name="quantize_aware_train", epochs=2, lr=0.0005)
    whole = quantize_aware_train(trained(), step, make_context(trained(), tmp_path / "whole"))
    stopped = make_context(trained(), tmp_path / "stopped")

    def stop(row):
        raise StoppedError

    task, refinement = make_training(trained(), step, stopped)
    with pytest.raises(StoppedError):
        fit(task, stopped.state, "cpu", on_epoch=stop, fine_tuning=refinement)
    resumed = quantize_aware_train(trained(), step, stopped)
    states = [each.network.state_dict() for each in (whole, resumed, int8)]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert not all(torch.equal(value, states[2][name]) for name, value in states[0].items())


@pytest.mark.prove
def test_parameters_and_macs_are_those_before_the_conversion(int8):
    found = size_of(OnnxModel(b"content", int8))
    assert found == size_of(OnnxModel(b"content", trained()))
    assert (found.bytes, found.parameters) == (7, count_parameters(trained().network))


@pytest.mark.slow
def test_validation_images_leave_no_trace_in_the_ranges():
    prepared = prepare(trained(), normalized(trained(), digits()[0][TRAIN_ROWS[:32]]))
    before = {name: value.clone() for name, value in prepared.state_dict().items()}
    prepared.train()
    prepared.eval()
    prepared(normalized(trained(), digits()[0][VAL_ROWS]) * 100)
    after = prepared.state_dict()
    # A counter of batches, which nothing reads, counts in either mode.
    changed = [name for name, value in before.items() if not torch.equal(value, after[name])]
    assert all(name.endswith("num_batches_tracked") for name in changed)


@pytest.mark.slow
def test_setting_the_attribute_changes_the_mode_as_lightning_does_after_a_validation():
    images = normalized(trained(), digits()[0][TRAIN_ROWS[:32]])
    prepared = prepare(trained(), images)
    means = [name for name in prepared.state_dict() if "running_mean" in name]
    before = {name: prepared.state_dict()[name].clone() for name in means}
    prepared.training = True
    prepared(images)
    assert not any(torch.equal(before[name], prepared.state_dict()[name]) for name in means)


@pytest.mark.slow
def test_norms_follow_batches_in_training_and_not_in_evaluation():
    images = normalized(trained(), digits()[0][TRAIN_ROWS[:32]])
    prepared = prepare(trained(), images)
    means = [name for name in prepared.state_dict() if "running_mean" in name]
    assert len(means) == 6
    for mode, moved in ((False, 0), (True, 6), (False, 0)):
        before = {name: prepared.state_dict()[name].clone() for name in means}
        prepared.train(mode)
        prepared(images)
        assert sum(not torch.equal(before[name], prepared.state_dict()[name]) for name in means) == moved


@pytest.mark.prove
def test_a_norm_with_another_epsilon_and_a_scale_of_zero_is_converted_right():
    """torchao's patterns know 1e-5 only, and divide by the scale."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.BatchNorm2d(16, eps=0.1), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 36, 10)
    )
    with torch.no_grad():
        network[1].weight[5] = 0
        network[1].running_var.fill_(0.2)
    model = TorchModel(network.eval(), trained().spec)
    images = normalized(model, digits()[0][TRAIN_ROWS[:64]])
    converted = convert(prepare(model, images), images)
    expected = network(images).detach()
    assert (converted(images) - expected).abs().max() < 0.1 * expected.std()


def test_a_model_with_branches_that_depend_on_the_image_is_a_result_with_a_reason(tmp_path):
    class Branching(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(64, 10)

        def forward(self, x):
            return self.head(x.flatten(1)) if x.sum() > 0 else self.head(-x.flatten(1))

    model = TorchModel(Branching().eval(), trained().spec)
    context = make_context(trained(), tmp_path)
    with pytest.raises(
        UnsupportedModelError, match=r"^torchao's quantization-aware training does not support this model: "
    ):
        quantize_aware_train(model, STEP, context)
    with pytest.raises(UnsupportedModelError, match=r"^torch's ONNX exporter does not support this model: "):
        export(model, Export(name="export"), context)


def learn(network, batch):
    """Tell the images of a batch apart, so that a prediction is more than a matter of rounding."""
    targets = torch.arange(len(batch)) % 10
    optimizer = torch.optim.AdamW(network.train().parameters(), lr=0.003)
    for _ in range(80):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(batch), targets).backward()
        optimizer.step()
    network.eval()


@pytest.mark.prove
@pytest.mark.parametrize(
    "name", ["test_resnet", "mobilenetv3_small_050", "test_efficientnet", "regnetx_002", "test_vit"]
)
def test_families_of_timm_are_prepared_and_converted(name):
    model, images = make_timm(name, 16)
    batch = normalized(model, images)
    learn(model.network, batch)
    prepared = prepare(model, batch)
    prepared.train()
    prepared(batch).square().mean().backward()
    prepared.eval()
    converted = convert(prepared, batch)
    assert "quantize" in " ".join(str(node.target) for node in converted.graph_module.graph.nodes)


@pytest.mark.slow
def test_other_variants_never_import_torchao(tmp_path):
    script = (
        "import json, sys, src.compression.steps, src.compression.onnx.export, "
        "src.compression.post_training; "
        "print(json.dumps('torchao' in sys.modules))"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(answer.stdout.splitlines()[-1]) is False
