"""Logits of an ONNX model that are divided by a temperature, which is part of the file."""

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from src.compression.onnx.export import onnx_bytes
from src.compression.onnx.temperature import divide_logits
from src.compression.parity import onnx_logits
from src.models.normalization import NormalizedModel


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (7, 1, 8, 8), dtype=np.uint8)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))


def exported(network, images, temperature=1.0):
    return onnx_bytes(
        NormalizedModel(network, [0.3], [0.4], temperature).eval(), torch.from_numpy(images[:2])
    )


def test_the_file_divides_as_the_network_does(network, images):
    plain = exported(network, images)
    divided = onnx_logits(divide_logits(plain, 2.531), images, 1)
    np.testing.assert_array_equal(divided, onnx_logits(plain, images, 1) / np.float32(2.531))
    np.testing.assert_allclose(divided, onnx_logits(exported(network, images, 2.531), images, 1), rtol=1e-6)


def test_a_temperature_of_one_changes_nothing(network, images):
    plain = exported(network, images)
    assert divide_logits(plain, 1.0) == plain
    assert [node.op_type for node in onnx.load_from_string(plain).graph.node].count("Div") <= 2


def test_the_same_temperature_gives_the_same_bytes(network, images):
    plain = exported(network, images)
    assert divide_logits(plain, 0.7) == divide_logits(plain, 0.7)
    assert divide_logits(plain, 0.7) != divide_logits(plain, 0.8)
