"""Every choice of ``model=``: logits and gradients for images of the smallest size it is recommended for."""

import pytest
import torch
from torch.nn import functional

from benchmarks.models import LEFT_OUT
from src.config.schema.model import Mlp, PlainCnn, Rnn, Torchvision
from src.core.errors import AssayError
from src.models.build import build_model, smallest_side
from tests.support.training_tasks import ENLARGED, model_names, model_section, trained_names
from tests.support.workspaces import ROOT

HEAVY = {"alexnet", "inception_v3", "resnet152", "vgg11"}  # seconds each
NAMES = [
    pytest.param(name, marks=pytest.mark.prove if name in HEAVY else pytest.mark.slow)
    for name in trained_names()
]
TORCHVISION = ("alexnet", "googlenet", "squeezenet1_0", "squeezenet1_1", "shufflenet_v2_x0_5")


def plain_cnn(**changes) -> PlainCnn:
    base = {"widths": [4, 8], "kernel_size": 3, "stride": 1, "padding": 1, "activation": "relu"}
    rest = {"pooling": "max", "batch_norm": False, "hidden": [16], "dropout": 0.0}
    return PlainCnn(kind="plain_cnn", **base | rest | changes)


def rnn(**changes) -> Rnn:
    base = {"cell": "rnn", "units": 5, "layers": 1, "bidirectional": False, "dropout": 0.0}
    return Rnn(kind="rnn", **base | changes)


def torchvision(name: str, **changes) -> Torchvision:
    return Torchvision(kind="torchvision", name=name, **{"stem": "auto", "dropout": 0.0} | changes)


def logits(network: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return network.eval()(images)


def test_the_table_in_the_docs_has_every_model():
    lines = (ROOT / "docs/models.md").read_text(encoding="utf-8").splitlines()
    listed = [line.split("`")[1] for line in lines if line.startswith("| `") and line.count("|") == 8]
    assert listed == [name for name in model_names() if name not in LEFT_OUT]


@pytest.mark.parametrize("name", NAMES)
def test_every_model_has_logits_and_a_gradient_for_every_weight(name):
    side = 8 * ENLARGED.get(name, 1)
    torch.manual_seed(0)
    network = build_model(model_section(name), 1, 10, (side, side))
    images = torch.randn(4, 1, side, side)
    functional.cross_entropy(network(images), torch.arange(4)).backward()
    assert [key for key, weight in network.named_parameters() if weight.grad is None] == []
    assert all(weight.grad.isfinite().all() for weight in network.parameters())
    assert any(weight.grad.any() for weight in network.parameters())
    found = logits(network, images)
    assert found.shape == (4, 10) and found.isfinite().all()


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_recurrent_network_ends_with_the_last_row_it_reads(cell, bidirectional):
    """In one direction the answer depends most on the last row; in two it depends on both ends alike."""
    torch.manual_seed(0)
    network = build_model(rnn(cell=cell, bidirectional=bidirectional), 1, 4, (9, 6)).eval()
    images = torch.randn(16, 1, 9, 6, requires_grad=True)
    network(images).square().sum().backward()
    influence = images.grad.abs().sum((0, 1, 3))
    assert influence[-1] > 3 * influence[4], "the middle is far from both ends"
    assert bool(influence[0] > 3 * influence[4]) is bidirectional


def test_a_recurrent_network_reads_all_channels_of_a_row():
    network = build_model(rnn(units=3), 3, 4, (5, 7))
    assert network.recurrent.weight_ih_l0.shape == (3, 21)
    image = torch.randn(1, 3, 5, 7)
    rows = torch.stack([image[0, :, row].flatten() for row in range(5)])[None]
    expected = network.classifier(network.recurrent(rows)[1][-1])
    assert torch.allclose(network(image), expected)


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "tanh", "sigmoid", "gelu", "silu"])
@pytest.mark.parametrize("pooling", ["max", "avg", "none"])
def test_plain_cnn_has_the_layers_that_were_asked_for(activation, pooling):
    section = plain_cnn(activation=activation, pooling=pooling, batch_norm=True, hidden=[16, 12], dropout=0.3)
    network = build_model(section, 3, 5, (13, 10))
    found = [type(part).__name__ for part in network]
    acts = {"relu": "ReLU", "leaky_relu": "LeakyReLU", "tanh": "Tanh", "sigmoid": "Sigmoid"}
    act = {**acts, "gelu": "GELU", "silu": "SiLU"}[activation]
    pool = {"max": ["MaxPool2d"], "avg": ["AvgPool2d"], "none": []}[pooling]
    block, dense = ["Conv2d", "BatchNorm2d", act, *pool], ["Dropout", "Linear", act]
    assert found == [*block * 2, "Flatten", *dense * 2, "Dropout", "Linear"]
    assert [part.p for part in network if isinstance(part, torch.nn.Dropout)] == [0.3] * 3
    assert [part.out_features for part in network if isinstance(part, torch.nn.Linear)] == [16, 12, 5]
    assert logits(network, torch.randn(3, 3, 13, 10)).shape == (3, 5)


@pytest.mark.parametrize(
    ("changes", "sides"),
    [
        ({}, (2, 3)),
        ({"padding": 0}, (1, 1)),
        ({"stride": 2, "pooling": "none"}, (3, 4)),
        ({"hidden": []}, (2, 3)),
    ],
)
def test_plain_cnn_knows_how_much_of_the_image_is_left(changes, sides):
    network = build_model(plain_cnn(**changes), 1, 5, (10, 13))
    first = next(part for part in network if isinstance(part, torch.nn.Linear))
    assert first.in_features == 8 * sides[0] * sides[1]


def test_plain_cnn_refuses_an_image_of_which_nothing_is_left():
    with pytest.raises(AssayError, match=r"model\.widths has 3 blocks.*image_size=\[8, 8\] after block 2"):
        build_model(plain_cnn(widths=[4] * 3, kernel_size=5, padding=0), 1, 10, (8, 8))


def test_mlp_has_the_hidden_layers_that_were_asked_for():
    section = Mlp(kind="mlp", hidden=[20, 10], activation="tanh", dropout=0.3)
    network = build_model(section, 3, 5, (4, 7))
    linear = [part for part in network if isinstance(part, torch.nn.Linear)]
    assert [(part.in_features, part.out_features) for part in linear] == [(84, 20), (20, 10), (10, 5)]
    assert [part.p for part in network if isinstance(part, torch.nn.Dropout)] == [0.3] * 2


def side_after(network: torch.nn.Module, part: str, images: torch.Tensor) -> int:
    seen: list[int] = []
    network.get_submodule(part).register_forward_hook(lambda _, __, output: seen.append(output.shape[-1]))
    logits(network, images)
    return seen[0]


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision_keeps_the_resolution_of_small_images_only(name, channels):
    stem, pool = {
        "alexnet": ("features.0", "features.2"),
        "googlenet": ("conv1", "maxpool1"),
        "shufflenet_v2_x0_5": ("conv1", "maxpool"),
    }.get(name, ("features.0", "features.2"))
    small = build_model(torchvision(name), channels, 10, (28, 28))
    assert side_after(small, stem, torch.randn(2, channels, 28, 28)) == 28
    assert side_after(small, pool, torch.randn(2, channels, 28, 28)) == 28
    large = build_model(torchvision(name), channels, 10, (72, 72))
    assert side_after(large, pool, torch.randn(2, channels, 72, 72)) < 72 / 3
    assert logits(large, torch.randn(2, channels, 72, 72)).shape == (2, 10)


@pytest.mark.slow
@pytest.mark.parametrize("name", TORCHVISION)
def test_dropout_reaches_torchvision(name):
    network = build_model(torchvision(name, dropout=0.25), 3, 10, (32, 32))
    rates = {part.p for part in network.modules() if isinstance(part, torch.nn.Dropout)}
    assert rates == {0.25}


@pytest.mark.slow
def test_googlenet_has_one_answer_in_training():
    network = build_model(torchvision("googlenet"), 1, 10, (8, 8)).train()
    assert network(torch.randn(4, 1, 8, 8)).shape == (4, 10)
    assert not [name for name, _ in network.named_parameters() if name.startswith("aux")]


@pytest.mark.slow
@pytest.mark.parametrize(("stem", "needed"), [("standard", 75), ("small", 19)])
def test_images_too_small_are_refused_with_the_size_needed(stem, needed):
    section = model_section("inception_v3").model_copy(update={"stem": stem})
    with pytest.raises(
        AssayError, match=rf"image_size=\[8, 8\].*set data\.image_size=\[{needed}, {needed}\]"
    ):
        build_model(section, 1, 10, (8, 8))
    network = build_model(section, 1, 10, (needed, needed))
    assert smallest_side(network, 1) == needed


@pytest.mark.slow
@pytest.mark.parametrize(("side", "patch"), [(8, 2), (28, 4), (64, 8), (96, 16)])
def test_a_mixer_has_small_patches_for_small_images(side, patch):
    network = build_model(
        model_section("mlp_mixer").model_copy(update={"name": "mixer_s16_224"}), 1, 10, (side, side)
    )
    assert network.stem.proj.kernel_size == network.stem.proj.stride == (patch, patch)
    assert network.blocks[0].mlp_tokens.fc1.in_features == (side // patch) ** 2
