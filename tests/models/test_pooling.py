"""The gradient of adaptive average pooling is the one that torch has on the CPU."""

import subprocess
import sys

import pytest
import torch
from torch.nn import functional

from src.models.pooling import pooling_gradient
from tests.support.workspaces import ROOT

REGISTERED = """
import torch
from torch.nn import functional
from src.models.pooling import register_pooling_gradient

def gradient():
    images = torch.linspace(0, 1, 2 * 7 * 9, requires_grad=True)
    functional.adaptive_avg_pool2d(images.reshape(1, 2, 7, 9), (6, 4)).square().sum().backward()
    return images.grad

before = gradient()
library = register_pooling_gradient("CPU")
assert register_pooling_gradient("CPU") is library
import src.models.pooling as pooling
calls, weights = [], pooling._weights
pooling._weights = lambda *given: calls.append(given) or weights(*given)
torch.testing.assert_close(gradient(), before)
print(len(calls))
"""


@pytest.mark.parametrize("size", [(1, 1), (6, 6), (3, 7), (12, 12)])
@pytest.mark.parametrize("side", [(1, 1), (7, 9), (6, 6), (13, 2)])
def test_it_is_that_of_torch(side, size):
    images = torch.randn(2, 3, *side, requires_grad=True)
    averages = functional.adaptive_avg_pool2d(images, size)
    gradient = torch.randn_like(averages)
    averages.backward(gradient)
    torch.testing.assert_close(pooling_gradient(gradient, images), images.grad)


def test_it_keeps_the_type_of_the_gradient():
    images = torch.zeros(1, 1, 4, 4, dtype=torch.bfloat16)
    assert pooling_gradient(images, images).dtype == torch.bfloat16


@pytest.mark.slow
def test_torch_uses_it_once_it_is_registered():
    done = subprocess.run([sys.executable, "-c", REGISTERED], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "2\n", done.stderr  # rows and columns
    assert "Overriding" not in done.stderr
