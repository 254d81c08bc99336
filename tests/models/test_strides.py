"""No stride is longer than its map: the outputs stay, and the gradients in bf16 become right."""

import pytest
import torch
from torch import nn

from src.config.schema.model import Timm
from src.models.build import build_model
from src.models.strides import shorten_strides

MAPS = [  # kernel, stride, padding, map, stride afterwards
    (3, 2, 1, (1, 1), (1, 1)),
    (7, 3, 3, (2, 2), (2, 2)),
    (5, 4, 2, (3, 1), (3, 1)),
    (3, 2, 1, (1, 4), (1, 2)),
    (3, 2, 1, (2, 2), (2, 2)),
    (2, 2, 1, (1, 1), (2, 2)),  # with stride 1 it would have two outputs
    (4, 4, 2, (2, 2), (4, 4)),
    (3, 3, 2, (2, 2), (3, 3)),  # as many outputs with stride 2, but others
    (1, 3, 1, (2, 2), (3, 3)),
    (1, 2, 0, (1, 1), (1, 1)),
]


@pytest.mark.parametrize(("kernel", "stride", "padding", "size", "expected"), MAPS)
def test_it_is_shortened_where_that_changes_no_output(kernel, stride, padding, size, expected):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, kernel, stride, padding))
    images = torch.rand(2, 3, *size)
    before = network(images)
    shorten_strides(network, 3, size)
    assert network[0].stride == expected
    assert network.training
    torch.testing.assert_close(network(images), before, atol=1e-6, rtol=1e-6)


def test_a_convolution_of_two_maps_keeps_the_stride_of_the_larger():
    shared = nn.Conv2d(3, 3, 3, 2, 1)
    shorten_strides(nn.Sequential(shared, shared), 3, (2, 2))
    assert shared.stride == (2, 2)


def test_large_images_leave_it_alone():
    network = nn.Sequential(nn.Conv2d(1, 1, 3, 100, 1))
    shorten_strides(network, 1, (64, 64))
    assert network[0].stride == (100, 100)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 2, 1), (2, 3, 1), (4, 4, 2)])
def test_the_gradient_in_bf16_is_that_of_float64(kernel, stride, padding, channels_last):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(16, 16, kernel, stride, padding, groups=2, bias=False))
    shorten_strides(network, 16, (1, 1))
    layout = torch.channels_last if channels_last else torch.contiguous_format
    images, upstream = torch.randn(2, 64, 16, 1, 1).unbind()
    found = {}
    for kind in (torch.float64, torch.bfloat16):
        convolution = network[0].to(kind).to(memory_format=layout)
        convolution.zero_grad()
        output = convolution(images.to(kind).contiguous(memory_format=layout))
        fill_memory_with_nan()
        output.backward(upstream.to(kind).contiguous(memory_format=layout))
        found[kind] = convolution.weight.grad.to(torch.float64, copy=True)
    torch.testing.assert_close(found[torch.bfloat16], found[torch.float64], atol=0.2, rtol=0.02)


def fill_memory_with_nan() -> None:
    """What is freed is given to whoever asks next, as it is."""
    blocks = [torch.full((2**size,), float("nan")) for size in range(8, 20) for _ in range(8)]
    blocks.clear()


def test_a_network_for_large_images_has_no_longer_stride_on_small_ones():
    network = build_model(
        Timm(kind="timm", name="regnetx_002", stem="standard", dropout=0.0, drop_path=0.0), 1, 10, (8, 8)
    )
    sizes = {}
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_pre_hook(lambda layer, inputs: sizes.update({layer: inputs[0].shape[2:]}))
    network.eval()(torch.zeros(1, 1, 8, 8))
    assert any(size == (1, 1) for size in sizes.values())
    assert all(
        stride <= pixels
        for layer, size in sizes.items()
        for stride, pixels in zip(layer.stride, size, strict=True)
    )
