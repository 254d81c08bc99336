"""Optimizers from timm's factory."""

import pytest
import torch
from timm.optim import get_optimizer_info, list_optimizers

from src.config.schema.model import Cnn
from src.config.schema.optimizers import OPTIMIZERS
from src.config.schema.train import Optimizer
from src.core.errors import AssayError
from src.models.build import build_model
from src.training.optimizers import create_optimizer

CNN = Cnn(
    kind="cnn", widths=[4, 8], kernel_size=3, activation="relu", pooling="max", batch_norm=True, dropout=0.0
)


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return build_model(CNN, 1, 10, (8, 8))


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("sgd", "SGD", {"nesterov": True, "momentum": 0.8, "fused": True}),
        ("adam", "Adam", {"fused": True}),
        ("adamw", "AdamW", {"fused": True}),
        ("rmsprop", "RMSprop", {"momentum": 0.8}),
    ],
)
def test_each_is_what_it_says(name, kind, expected):
    optimizer = create_optimizer(
        network(), Optimizer(name=name, lr=0.01, weight_decay=0.1, momentum=0.8, options={})
    )
    assert type(optimizer).__name__ == kind
    for group in optimizer.param_groups:
        assert group["lr"] == 0.01
        assert expected.items() <= group.items()


def test_sgd_without_momentum_is_plain():
    sgd = Optimizer(name="sgd", lr=0.01, weight_decay=0.1, momentum=0.0, options={})
    assert not create_optimizer(network(), sgd).param_groups[0]["nesterov"]


def test_norms_and_biases_do_not_decay():
    inner = network()
    optimizer = create_optimizer(
        inner, Optimizer(name="adamw", lr=0.01, weight_decay=0.1, momentum=0.9, options={})
    )
    decay = {id(weight): g["weight_decay"] for g in optimizer.param_groups for weight in g["params"]}
    assert len(decay) == len(list(inner.parameters()))
    for weight in inner.parameters():
        assert decay[id(weight)] == (0.1 if weight.ndim > 1 else 0.0)


def section(name, **options) -> Optimizer:
    return Optimizer(name=name, lr=0.01, weight_decay=0.1, momentum=0.9, options=options)


@pytest.mark.parametrize("name", ["lion", "lamb", "nadamw", "adafactorbv", "muon", "novograd", "sgdw"])
def test_others_of_timm_step(name):
    inner = network()
    before = {name: weight.clone() for name, weight in inner.named_parameters() if weight.ndim > 1}
    optimizer = create_optimizer(inner, section(name))
    for _ in range(2):
        optimizer.zero_grad()
        inner(torch.rand(8, 1, 8, 8)).square().mean().backward()
        optimizer.step()
    assert not any(torch.equal(weight, inner.get_parameter(name)) for name, weight in before.items())


def test_options_reach_the_optimizer():
    optimizer = create_optimizer(network(), section("adamw", betas=[0.8, 0.95], eps=1e-6))
    assert all(tuple(g["betas"]) == (0.8, 0.95) and g["eps"] == 1e-6 for g in optimizer.param_groups)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "adamw",
            {"beta": [0.9, 0.9]},
            r"options has beta \(did you mean betas\?\), but adamw takes betas, eps",
        ),
        ("adamw", {"lr": 1.0}, r"options has lr, but adamw takes"),  # a field of its own
        ("adamw", {"betas": [0.9, 1.5]}, r"adamw does not take options=.*1\.5"),
    ],
)
def test_options_that_do_not_fit_are_refused(name, options, message):
    with pytest.raises(AssayError, match=message):
        create_optimizer(network(), section(name, **options))


def test_a_gradient_scaler_gets_no_fused_kernel():
    optimizer = create_optimizer(network(), section("adamw"), fused=False)
    assert not any(group["fused"] for group in optimizer.param_groups)


def test_the_names_are_those_of_timm():
    """All but those that need second derivatives, or another package: their class is a path until then."""
    infos = {name: get_optimizer_info(name) for name in list_optimizers()}
    left_out = {name for name, info in infos.items() if info.second_order or isinstance(info.opt_class, str)}
    assert set(OPTIMIZERS) == infos.keys() - left_out


def test_unknown_names_are_answered_with_near_ones():
    with pytest.raises(ValueError, match=r"must be one of adabelief, .*, but got adamm \(did you mean adam"):
        section("adamm")
