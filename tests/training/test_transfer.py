"""Trainings that start from weights: what is frozen keeps its bytes, and features change no result."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from src.config.schema.train import TransferLearning
from src.core.seeds import derive_seed
from src.models.build import build_model
from src.training.features import head_on_features
from src.training.fit import fit
from src.training.freezing import freeze, stages_of, trained_names
from src.training.optimizers import create_optimizer
from tests.support.training_tasks import digits_task

PLAIN = {"name": "constant", "warmup": 0.0}


def finetune(layers, **fields):
    return {"layers": layers, "stages": 1, "unfreeze_epochs": [2, 3], "layer_decay": 1.0} | fields


def task_with(layers, epochs=2, lr=0.004, **fields):
    train = {"epochs": epochs, "ema_decay": 0.0, "precision": "fp32", "finetune": finetune(layers, **fields)}
    return digits_task(model={"widths": [4, 8]}, train=train, schedule=PLAIN, optimizer={"lr": lr})


def initial(task):
    torch.manual_seed(derive_seed(task.seed, "weights"))
    return build_model(task.model, 1, 10, (8, 8))


def moved(task, folder):
    """Stages, by the first part of their names, of which a tensor has changed in the training."""
    before, after = initial(task).state_dict(), fit(task, folder, device="cpu").network.state_dict()
    return {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.parametrize(
    ("layers", "stages", "expected"),
    [("head", 1, {"5"}), ("last", 1, {"1", "5"}), ("last", 2, {"0", "1", "5"})],
)
def test_frozen_layers_keep_their_bytes_and_their_statistics(tmp_path, layers, stages, expected):
    assert moved(task_with(layers, stages=stages), tmp_path) == expected


def test_layers_are_unfrozen_at_their_epochs(tmp_path):
    assert moved(task_with("gradual", epochs=1), tmp_path / "1") == {"5"}
    assert moved(task_with("gradual", epochs=2), tmp_path / "2") == {"1", "5"}
    assert moved(task_with("gradual", epochs=3), tmp_path / "3") == {"0", "1", "5"}


def test_averaged_weights_of_frozen_layers_keep_their_bytes_too(tmp_path):
    task = task_with("last")
    assert moved(replace(task, train=task.train.model_copy(update={"ema_decay": 0.9})), tmp_path) == {
        "1",
        "5",
    }


def test_a_frozen_batch_norm_is_in_evaluation_mode_and_comes_back():
    network = initial(task_with("head")).train()
    freeze(network, TransferLearning(**finetune("gradual")), 0)
    norms = [part for part in network.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    assert not any(norm.training for norm in norms)
    freeze(network, TransferLearning(**finetune("gradual")), 2)
    assert all(norm.training for norm in norms)


@pytest.mark.slow
def test_the_stages_of_a_timm_model_are_those_of_timm():
    import timm

    network = timm.create_model("test_resnet", num_classes=5)
    stages = stages_of(network)
    assert [stage[0].rsplit(".", 1)[0].partition(".")[0] for stage in stages[-2:]] == ["layer4", "fc"]
    assert trained_names(network, TransferLearning(**finetune("head")), 0) == {"fc.weight", "fc.bias"}
    last = trained_names(network, TransferLearning(**finetune("last")), 0)
    assert {name.partition(".")[0] for name in last} == {"layer4", "fc"}


def test_each_layer_has_its_own_learning_rate():
    task = task_with("all", layer_decay=0.5)
    optimizer = create_optimizer(initial(task), task.train.optimizer, layer_decay=0.5)
    scales = sorted({group["lr_scale"] for group in optimizer.param_groups})
    assert scales[-1] == 1.0
    assert all(low == pytest.approx(high / 2) for low, high in pairwise(scales))
    assert len(scales) > 2


def test_a_training_steps_with_the_rate_of_each_layer(tmp_path):
    """Layers far from the head hardly move with a small factor."""
    task = task_with("all", epochs=1, layer_decay=0.001)
    before, after = initial(task).state_dict(), fit(task, tmp_path, device="cpu").network.state_dict()

    def change(name):
        return float((after[name] - before[name]).abs().max())

    assert change("0.0.weight") < 0.01 * change("5.weight")


def test_features_give_the_same_head_as_running_the_backbone(tmp_path):
    task = task_with("head", epochs=10, lr=0.1)
    assert head_on_features(initial(task), task) is None  # no folder for features
    slow = fit(task, tmp_path / "slow", device="cpu")
    quick = fit(replace(task, features=tmp_path / "features"), tmp_path / "quick", device="cpu")
    for name, value in slow.network.state_dict().items():
        torch.testing.assert_close(quick.network.state_dict()[name], value, atol=1e-4, rtol=1e-4)
    assert quick.best["val/accuracy"] == pytest.approx(slow.best["val/accuracy"], abs=0.02)
    assert quick.best["val/accuracy"] > 0.3  # it has learned something


def test_features_are_computed_once_for_all_heads(tmp_path):
    task = replace(task_with("head"), features=tmp_path / "features")
    fit(task, tmp_path / "0", device="cpu")
    (path,) = (tmp_path / "features").glob("*.npy")
    written = path.stat().st_mtime_ns
    rate = task.train.optimizer.model_copy(update={"lr": 0.1})
    fit(replace(task, train=task.train.model_copy(update={"optimizer": rate})), tmp_path / "1", device="cpu")
    assert path.stat().st_mtime_ns == written
    fit(replace(task, shift=[0.4]), tmp_path / "2", device="cpu")  # other images reach the backbone
    assert len(list((tmp_path / "features").glob("*.npy"))) == 2


def test_a_finished_training_on_features_is_read_and_not_repeated(tmp_path):
    task = replace(task_with("head"), features=tmp_path / "features")
    first, second = (fit(task, tmp_path / "state", device="cpu") for _ in range(2))
    assert first.history == second.history
    states = first.network.state_dict(), second.network.state_dict()
    assert all(torch.equal(states[0][name], value) for name, value in states[1].items())


def test_images_that_are_augmented_have_no_features(tmp_path):
    task = replace(task_with("head"), features=tmp_path / "features")
    crop = digits_task(augment=[{"name": "crop", "padding": 1}]).augment
    assert head_on_features(initial(task), task) is not None
    assert head_on_features(initial(task), replace(task, augment=crop)) is None


@pytest.mark.parametrize("damage", [b"", b"noise", None])
def test_damaged_features_are_computed_again(tmp_path, damage):
    task = replace(task_with("head"), features=tmp_path / "features")
    first = fit(task, tmp_path / "0", device="cpu")
    (path,) = (tmp_path / "features").glob("*.npy")
    whole = path.read_bytes()
    path.write_bytes(whole[:-40] + bytes(40) if damage is None else damage)
    second = fit(task, tmp_path / "1", device="cpu")
    assert path.read_bytes() == whole
    assert first.history == second.history


def test_dropout_of_the_head_shares_the_features(tmp_path):
    task = replace(task_with("head"), features=tmp_path / "features")
    for number, share in enumerate((0.0, 0.3)):
        model = task.model.model_copy(update={"dropout": share})
        fit(replace(task, model=model), tmp_path / str(number), device="cpu")
    assert len(list((tmp_path / "features").glob("*.npy"))) == 1
