"""Zeros are as many as asked and stay; channels are really gone, and the network still knows the digits."""

import copy
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from src.compression.artifacts import TorchModel
from src.compression.fine_tune import finetune
from src.compression.onnx.library_errors import UnsupportedModelError
from src.compression.prune import prune_structured, prune_unstructured
from src.config.schema.compress import Finetune, PruneStructured, PruneUnstructured
from src.config.schema.model import Cnn, Lenet, Timm
from src.models.build import build_model
from src.models.networks.cnn import Residual
from src.models.size import count_macs, count_nonzero, count_parameters
from tests.support.compression import accuracy, base, context, weights
from tests.support.digits import make_spec
from tests.support.workspaces import ROOT

EXAMPLE = torch.zeros(1, 1, 8, 8)
CRITERIA = ["magnitude", "batch_norm", "taylor", "fpgm", "random"]
PLAIN = {"kind": "timm", "weights": None, "stem": "auto", "dropout": 0.0, "drop_path": 0.0}
MOBILE = Timm(name="mobilenetv3_small_050", **PLAIN)
FAMILIES = ["resnet18", "mobilenetv3_small_050", "efficientnet_lite0", "regnetx_002", "vit_tiny_patch16_224"]


def channels(criterion: str = "magnitude", ratio: float = 0.5, iterations: int = 1) -> PruneStructured:
    return PruneStructured(name="prune_structured", ratio=ratio, criterion=criterion, iterations=iterations)


def single(criterion: str = "magnitude", ratio: float = 0.8) -> PruneUnstructured:
    return PruneUnstructured(name="prune_unstructured", ratio=ratio, criterion=criterion)


def prunable(model: TorchModel) -> dict[str, torch.Tensor]:
    layers = {
        name: part for name, part in model.network.named_modules() if isinstance(part, nn.Conv2d | nn.Linear)
    }
    return {f"{name}.weight": part.weight.detach() for name, part in layers.items()}


def untrained(section, size=32, channels=3) -> TorchModel:
    torch.manual_seed(0)
    network = build_model(section, channels, 10, (size, size)).eval()
    return TorchModel(network, make_spec(section, channels, size))


@pytest.mark.parametrize("criterion", ["magnitude", "random"])
@pytest.mark.parametrize("ratio", [0.5, 0.8])
def test_as_many_weights_are_zero_as_asked(tmp_path, criterion, ratio):
    pruned = prune_unstructured(base(), single(criterion, ratio), context(tmp_path))
    values = torch.cat([weight.flatten() for weight in prunable(pruned).values()])
    assert (values == 0).float().mean() == pytest.approx(ratio, abs=1e-4)
    assert count_parameters(pruned.network) == count_parameters(base().network)
    assert {name: mask.shape for name, mask in pruned.masks.items()} == {
        name: weight.shape for name, weight in prunable(base()).items()
    }


def test_magnitude_takes_the_smallest_weights_of_all_layers_together(tmp_path):
    before, after = prunable(base()), prunable(prune_unstructured(base(), single(), context(tmp_path)))
    taken = torch.cat([before[name][weight == 0].abs() for name, weight in after.items()])
    left = torch.cat([before[name][weight != 0].abs() for name, weight in after.items()])
    assert taken.max() <= left.min()
    shares = [float((weight == 0).float().mean()) for weight in after.values()]
    assert max(shares) - min(shares) > 0.05, "layers compete: their shares differ"


@pytest.mark.parametrize("criterion", ["magnitude", "random"])
def test_a_second_pruning_adds_to_the_first(tmp_path, criterion):
    once = prune_unstructured(base(), single(criterion, 0.5), context(tmp_path))
    twice = prune_unstructured(once, single(criterion, 0.8), context(tmp_path))
    values = torch.cat([weight.flatten() for weight in prunable(twice).values()])
    assert (values == 0).float().mean() == pytest.approx(0.8, abs=1e-4)
    assert not any((mask & ~once.masks[name]).any() for name, mask in twice.masks.items())


def test_masks_hold_through_training_that_moves_everything_else(tmp_path):
    pruned = prune_unstructured(base(), single(), context(tmp_path))
    tuned = finetune(pruned, Finetune(name="finetune", epochs=3, lr=0.01), context(tmp_path))
    before, after = prunable(pruned), prunable(tuned)
    for name, mask in pruned.masks.items():
        assert torch.all(after[name][~mask] == 0)
        assert not torch.any(after[name][mask] == before[name][mask])
    assert count_nonzero(tuned.network) < 0.3 * count_parameters(tuned.network)
    assert accuracy(tuned) > accuracy(pruned)
    assert accuracy(tuned) >= accuracy(base()) - 0.03


@pytest.mark.parametrize(("criterion", "iterations"), [*((name, 1) for name in CRITERIA), ("magnitude", 4)])
def test_half_of_the_channels_of_every_layer_is_gone(tmp_path, criterion, iterations):
    pruned = prune_structured(base(), channels(criterion, iterations=iterations), context(tmp_path))
    pairs = zip(base().network.modules(), pruned.network.modules(), strict=True)
    convolutions = [(one, other) for one, other in pairs if isinstance(one, nn.Conv2d)]
    assert [other.out_channels for _, other in convolutions] == [
        one.out_channels // 2 for one, _ in convolutions
    ]
    assert count_parameters(pruned.network) < 0.3 * count_parameters(base().network)
    assert count_macs(pruned.network, EXAMPLE) < 0.3 * count_macs(base().network, EXAMPLE)
    assert pruned.network(EXAMPLE).shape == (1, 10), "the classifier keeps its outputs"


@pytest.mark.parametrize("criterion", ["magnitude", "taylor"])
def test_a_network_of_half_the_channels_learns_again(tmp_path, criterion):
    pruned = prune_structured(base(), channels(criterion), context(tmp_path))
    tuned = finetune(pruned, Finetune(name="finetune", epochs=5, lr=0.01), context(tmp_path))
    assert accuracy(tuned) >= accuracy(base()) - 0.05
    assert count_parameters(tuned.network) == count_parameters(pruned.network)


@pytest.mark.parametrize("criterion", ["magnitude", "batch_norm", "taylor", "fpgm"])
def test_channels_that_do_next_to_nothing_go_first(tmp_path, criterion):
    """Every second channel between the two convolutions of each block is made faint."""
    network = copy.deepcopy(base().network)
    blocks = [part for part in network.modules() if isinstance(part, Residual)]
    with torch.no_grad():
        for block in blocks:
            block.first.weight[::2] *= 1e-4
            block.first_norm.weight[::2] *= 1e-4
            block.first_norm.bias[::2] = 0
            block.second.weight[:, ::2] *= 1e-4
    pruned = prune_structured(TorchModel(network, base().spec), channels(criterion), context(tmp_path))
    left = [part for part in pruned.network.modules() if isinstance(part, Residual)]
    assert len(left) == 2
    for block, small in zip(blocks, left, strict=True):
        assert torch.equal(small.first_norm.weight, block.first_norm.weight[1::2])


def test_taylor_asks_training_images_only(tmp_path):
    """Other images may be anything: the result is the same."""
    known = context(tmp_path)
    poisoned = known.images.copy()
    others = np.setdiff1d(np.arange(len(poisoned)), known.train_rows)
    poisoned[others] = 255 - poisoned[others]
    one = prune_structured(base(), channels("taylor"), known)
    other = prune_structured(base(), channels("taylor"), context(tmp_path, images=poisoned))
    assert weights(one) == weights(other)


@pytest.mark.parametrize("family", FAMILIES)
def test_families_of_timm_lose_channels_and_still_run(tmp_path, family):
    whole = untrained(Timm(name=family, **PLAIN))
    pruned = prune_structured(whole, channels(), context(tmp_path))
    assert count_parameters(pruned.network) < 0.45 * count_parameters(whole.network)
    assert pruned.network(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_lenet_whose_classifier_follows_others(tmp_path):
    whole = untrained(Lenet(kind="lenet", activation="tanh", dropout=0.0), size=28, channels=1)
    pruned = prune_structured(whole, channels(), context(tmp_path))
    assert count_parameters(pruned.network) < 0.4 * count_parameters(whole.network)
    assert pruned.network(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


def test_a_network_too_small_to_lose_a_channel_is_told_so(tmp_path):
    narrow = Cnn(
        kind="cnn",
        widths=[1, 1],
        kernel_size=3,
        activation="relu",
        pooling="max",
        batch_norm=True,
        dropout=0.0,
    )
    with pytest.raises(
        UnsupportedModelError, match=r"found no channel to remove at ratio=0\.3|cannot prune this network"
    ):
        prune_structured(untrained(narrow, 8, 1), channels(ratio=0.3), context(tmp_path))


def test_the_model_that_was_handed_over_is_left_alone(tmp_path):
    before = weights(base())
    prune_structured(base(), channels("taylor"), context(tmp_path))
    prune_unstructured(base(), single(), context(tmp_path))
    assert weights(base()) == before
    assert all(parameter.grad is None for parameter in base().network.parameters())


SCRIPT = """
import hashlib
from pathlib import Path
from tests.compression.test_prune import *
pruned = prune_structured(untrained(MOBILE), channels(), context(Path("."), base=None))
print(hashlib.sha256(b"".join(weights(pruned).values())).hexdigest())
"""


@pytest.mark.prove
def test_another_process_removes_the_same():
    found = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            cwd=ROOT,
            env={"PYTHONPATH": ".", "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
        )
        for seed in ("1", "2")
    ]
    assert found[0].stdout and found[0].stdout == found[1].stdout, found[0].stderr
