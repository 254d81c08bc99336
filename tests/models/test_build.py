"""Networks fit the images and classes at hand, or are refused by name."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from src.config.schema.model import Cnn, Lenet, Timm
from src.core.errors import AssayError
from src.models.build import build_model, refuse_single_images


def cnn(**changes) -> Cnn:
    base = {"widths": [4, 8], "kernel_size": 3, "activation": "relu", "pooling": "max"}
    return Cnn(kind="cnn", **base | {"batch_norm": True, "dropout": 0.0} | changes)


def timm(name: str, **changes) -> Timm:
    plain = {"weights": None, "stem": "auto", "dropout": 0.0, "drop_path": 0.0}
    return Timm(kind="timm", name=name, **plain | changes)


def logits(network: torch.nn.Module, channels: int, size: tuple[int, int]) -> torch.Tensor:
    with torch.inference_mode():
        return network.eval()(torch.rand(3, channels, *size))


@settings(max_examples=40, deadline=None)
@given(
    widths=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    kernel_size=st.sampled_from([1, 3, 5, 7]),
    activation=st.sampled_from(["relu", "leaky_relu", "gelu", "silu"]),
    pooling=st.sampled_from(["max", "avg", "stride"]),
    batch_norm=st.booleans(),
    channels=st.sampled_from([1, 3]),
    size=st.tuples(st.integers(16, 37), st.integers(16, 37)),
)
def test_cnn_takes_all_sizes_that_allow_its_stages(channels, size, **fields):
    network = build_model(cnn(**fields), channels, 5, size)
    assert logits(network, channels, size).shape == (3, 5)
    assert torch.isfinite(logits(network, channels, size)).all()


def test_cnn_halves_in_every_stage():
    network = build_model(cnn(widths=[4, 8, 16]), 1, 10, (28, 28)).eval()
    sides, x = [], torch.rand(1, 1, 28, 28)
    for stage in network[:3]:
        x = stage(x)
        sides.append(x.shape[-1])
    assert sides == [14, 7, 3]


def test_default_cnn_has_half_a_million_weights():
    network = build_model(cnn(widths=[32, 64, 128]), 1, 10, (28, 28))
    assert sum(weight.numel() for weight in network.parameters()) == 482_154


def test_cnn_refuses_an_image_too_small_for_its_stages():
    with pytest.raises(AssayError, match=r"model\.widths has 5 stages.*data\.image_size=\[8, 8\]"):
        build_model(cnn(widths=[4] * 5), 1, 10, (8, 8))


@pytest.mark.parametrize("size", [(4, 4), (8, 8), (11, 30), (12, 12), (28, 28), (32, 64)])
def test_lenet_takes_sizes_from_four_pixels_on(size):
    network = build_model(Lenet(kind="lenet", activation="tanh", dropout=0.1), 3, 7, size)
    assert logits(network, 3, size).shape == (3, 7)


def test_lenet_has_the_weights_of_the_paper_at_32_pixels():
    network = build_model(Lenet(kind="lenet", activation="tanh", dropout=0.0), 1, 10, (28, 28))
    # LeCun et al.: 156 + 48,120 + 10,164 for C1, C5 and F6; C3 is full here, as everybody has it since.
    assert sum(weight.numel() for weight in network.parameters()) == 156 + 2416 + 48_120 + 10_164 + 850


def test_lenet_refuses_tiny_images():
    with pytest.raises(AssayError, match="at least 4 pixels"):
        build_model(Lenet(kind="lenet", activation="relu", dropout=0.0), 1, 10, (3, 28))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        *("resnet10t", "regnetx_002", "mobilenetv3_small_050", "efficientnet_lite0"),
        *("vit_tiny_patch16_224", "deit_tiny_patch16_224", "convnext_atto", "mixer_s32_224"),
    ],
)
@pytest.mark.parametrize(("channels", "size"), [(1, (8, 8)), (3, (28, 28))])
def test_timm_models_are_adapted(name, channels, size):
    network = build_model(timm(name), channels, 4, size)
    assert logits(network, channels, size).shape == (3, 4)


def side_of_layer1(stem: str, side: int) -> int:
    network = build_model(timm("resnet18", stem=stem), 1, 10, (side, side)).eval()
    seen: list[int] = []
    network.layer1.register_forward_hook(lambda part, inputs, output: seen.append(output.shape[-1]))
    logits(network, 1, (side, side))
    return seen[0]


@pytest.mark.slow
def test_a_resnet_on_28_pixels_is_the_one_of_the_cifar_papers():
    network = build_model(timm("resnet18"), 1, 10, (28, 28))
    assert (network.conv1.kernel_size, network.conv1.stride) == ((3, 3), (1, 1))
    assert side_of_layer1("auto", 28) == 28


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stem", "side", "after"),
    [("auto", 64, 64), ("auto", 65, 17), ("small", 72, 72), ("standard", 28, 7)],
)
def test_a_stem_is_small_for_small_images_unless_said_otherwise(stem, side, after):
    assert side_of_layer1(stem, side) == after


def test_a_small_stem_is_refused_by_name_where_it_cannot_be():
    with pytest.raises(AssayError, match=r"stem=small is not possible for model\.name=ghostnet_050"):
        build_model(timm("ghostnet_050", stem="small"), 1, 10, (32, 32))
    assert build_model(timm("ghostnet_050", stem="auto"), 1, 10, (32, 32))
    with pytest.raises(AssayError, match=r"stem=small is not possible for model\.name=resnetv2_50d"):
        build_model(timm("resnetv2_50d", stem="small"), 1, 10, (32, 32))  # its family has one, it does not


def test_unknown_name_is_refused_with_close_ones():
    with pytest.raises(AssayError, match=r"resnet81 is not a model of timm.*did you mean .*resnet18"):
        build_model(timm("resnet81"), 1, 10, (28, 28))


@pytest.mark.slow
def test_images_too_small_for_a_model_are_refused_when_it_is_made():
    with pytest.raises(AssayError, match=r"vgg11 cannot take images of data\.image_size=\[8, 8\]"):
        build_model(timm("vgg11", stem="standard"), 1, 10, (8, 8))


def test_dropout_reaches_the_network():
    dropped = build_model(timm("resnet18", dropout=0.25), 1, 10, (28, 28))
    assert dropped.drop_rate == 0.25
    rates = [part.p for part in build_model(cnn(dropout=0.3), 1, 10, (8, 8)) if hasattr(part, "p")]
    assert rates == [0.3]


def test_a_batch_norm_over_a_single_value_is_refused_before_the_first_step():
    with pytest.raises(AssayError, match=r"train\.batch_size=1 leaves a batch norm .* at least 2"):
        refuse_single_images(build_model(cnn(widths=[8, 16, 32]), 1, 10, (8, 8)), (1, 8, 8))
    network = build_model(cnn(widths=[8, 16]), 1, 10, (8, 8))  # its last map has four pixels
    before = {name: value.clone() for name, value in network.state_dict().items()}
    refuse_single_images(network, (1, 8, 8))
    assert all(value.equal(before[name]) for name, value in network.state_dict().items())
    refuse_single_images(build_model(cnn(widths=[8, 16, 32], batch_norm=False), 1, 10, (8, 8)), (1, 8, 8))


def test_drop_path_drops_branches_in_training_only():
    """Of each image on its own: the outputs of equal images differ."""
    torch.manual_seed(0)
    network = build_model(timm("vit_tiny_patch16_224", drop_path=0.5), 1, 10, (32, 32)).train()
    images = torch.rand(1, 1, 32, 32).expand(8, -1, -1, -1)
    assert not torch.allclose(network(images), network(images[:1]).expand(8, -1))
    network.eval()
    torch.testing.assert_close(network(images), network(images[:1]).expand(8, -1))


def test_drop_path_is_refused_by_networks_without_it():
    with pytest.raises(
        AssayError, match=r"drop_path=0\.1 is not possible for model\.name=vgg11.*drop_path=0$"
    ):
        build_model(timm("vgg11", stem="standard", drop_path=0.1), 1, 10, (32, 32))
