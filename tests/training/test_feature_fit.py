"""Linear probe, SVM and nearest neighbors: only the head is fitted, to training images alone."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto
from safetensors.torch import load_file

from src.compression.artifacts import TorchModel
from src.compression.onnx.library_errors import UnsupportedModelError
from src.compression.parity import check_parity, onnx_logits, torch_logits
from src.compression.steps import run_steps
from src.config.schema.compress import Variant
from src.models.networks.feature_heads import backbone_section
from src.models.saving import Input, ModelSpec, Normalization, load_model, save_model
from src.training.fit import fit
from tests.support.compression import context
from tests.support.feature_models import feature_task

KEPT = 600  # all training images
KINDS = {"linear_probe": {"C": 1e4}, "svm": {}, "knn": {}}
EXPORT = {"name": "export"}
STATIC = {"name": "quantize_static", "images": 200, "calibration": "minmax", "per_channel": True}


@pytest.fixture(params=KINDS)
def task(request, tmp_path):
    return feature_task(request.param, tmp_path / "weights", **KINDS[request.param])


def spec_of(task) -> ModelSpec:
    size = Input(1, 8, 8, "pad", 10**6)
    return ModelSpec(task.model, list(task.classes), size, Normalization(task.shift, task.scale))


def head(network) -> dict[str, torch.Tensor]:
    return network.get_submodule("fc").state_dict()


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_the_network_keeps_its_bytes_and_the_head_has_learned(task, tmp_path):
    rows = []
    fitted = fit(task, tmp_path / "state", device="cpu", on_epoch=rows.append)
    found = fitted.network.state_dict()
    for name, value in load_file(task.weights).items():
        assert name.startswith("fc.") or torch.equal(found[name], value), name
    assert fitted.history == rows
    assert list(rows[0]) == ["epoch", "train/loss", "val/loss", "val/accuracy"]
    assert (fitted.best_epoch, fitted.kept) == (1, "of the fitted head")
    assert fitted.best["val/accuracy"] > 0.75


def test_what_is_reported_is_what_the_saved_model_says(task, tmp_path):
    task = replace(task, metrics=["val/f1_macro"])
    fitted = fit(task, tmp_path / "state", device="cpu")
    save_model(tmp_path / "model", fitted.network, spec_of(task))
    network, spec = load_model(tmp_path / "model")
    logits = torch_logits(TorchModel(network, spec), task.images[task.val_rows])
    right = logits.argmax(1) == task.targets[task.val_rows]
    assert fitted.best["val/accuracy"] == pytest.approx(right.mean())
    assert 0 < fitted.best["val/f1_macro"] < 1


def test_validation_images_decide_nothing(task, tmp_path):
    first = fit(task, tmp_path / "0", device="cpu").network
    targets = task.targets.copy()
    targets[task.val_rows] = 0
    assert same(head(first), head(fit(replace(task, targets=targets), tmp_path / "1", device="cpu").network))
    targets[task.train_rows[:90]] = 0
    other = fit(replace(task, targets=targets), tmp_path / "2", device="cpu").network
    assert not same(head(first), head(other))


@pytest.mark.parametrize("kind", ["linear_probe", "svm"])
def test_weights_of_classes_reach_the_fit(kind, tmp_path):
    """Where the images of a class count little, fewer images are taken for it."""
    counts = []
    for weights in ("none", {"8": 0.01}):
        task = feature_task(kind, tmp_path / "w", {"class_weights": weights}, **KINDS[kind])
        network = fit(task, tmp_path / "state", device="cpu").network
        logits = torch_logits(TorchModel(network, spec_of(task)), task.images[task.val_rows])
        counts.append(int((logits.argmax(1) == 8).sum()))
    assert counts[1] < counts[0]


def test_all_kinds_share_the_features_with_a_head_that_is_trained(tmp_path):
    finetune = {"layers": "head", "stages": 1, "unfreeze_epochs": [], "layer_decay": 1.0}
    for kind in KINDS:
        task = feature_task(kind, tmp_path / "w", {"finetune": finetune, "epochs": 1})
        task = replace(task, features=tmp_path / "features")
        fit(task, tmp_path / kind, device="cpu")
    fit(replace(task, model=backbone_section(task.model)), tmp_path / "head", device="cpu")
    assert len(list((tmp_path / "features").glob("*.npy"))) == 1
    alone = fit(replace(task, features=None), tmp_path / "alone", device="cpu").network
    assert same(head(alone), head(fit(task, tmp_path / "again", device="cpu").network))


def variant(network, task, folder, *steps):
    base = TorchModel(network, spec_of(task))
    where = context(folder, images=task.images, base=base, train=task.train)
    return run_steps(Variant.model_validate({"steps": list(steps)}).steps, where), base


@pytest.mark.slow
def test_network_and_head_are_one_onnx_graph(task, tmp_path):
    network = fit(task, tmp_path / "state", device="cpu").network
    model, base = variant(network, task, tmp_path, EXPORT)
    images = task.images[task.val_rows]
    found, expected = onnx_logits(model.content, images, threads=1), torch_logits(base, images)
    assert check_parity(model, found, expected, tolerance=1e-3, agreement=0.99).reason is None
    assert np.abs(found - expected).max() < 1e-3
    found[0, expected[0].argmax()] += 1  # the same answers, with one vote more
    parity = check_parity(model, found, expected, tolerance=1e-3, agreement=0.99)
    assert (parity.reason is None) is (task.model.kind == "knn")


@pytest.mark.prove
def test_int8_leaves_what_a_head_keeps_in_float(task, tmp_path):
    network = fit(task, tmp_path / "state", device="cpu").network
    model, base = variant(network, task, tmp_path, EXPORT, STATIC)
    images = task.images[task.val_rows]
    found, expected = onnx_logits(model.content, images, threads=1), torch_logits(base, images)
    assert np.mean(found.argmax(1) == expected.argmax(1)) > 0.8
    kinds = TensorProto.DOUBLE, TensorProto.INT64  # of what was kept: no int8
    tensors = onnx.load_from_string(model.content).graph.initializer
    assert any(each.data_type == TensorProto.INT8 for each in tensors)
    if task.model.kind != "linear_probe":
        kept = [each.data_type for each in tensors if KEPT in each.dims]
        assert kept and set(kept) <= set(kinds)


STEPS = {
    "prune_unstructured": {"ratio": 0.5, "criterion": "magnitude"},
    "prune_structured": {"ratio": 0.5, "criterion": "magnitude", "iterations": 1},
    "finetune": {"epochs": 1, "lr": 0.1},
    "distill": {"student": None, "epochs": 1, "lr": 0.1, "temperature": 1.0, "alpha": 0.5},
    "quantize_aware_train": {"epochs": 1, "lr": 0.1},
}


@pytest.mark.parametrize("kind", ["svm", "knn"])
@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_would_leave_the_head_behind_is_refused(kind, step, tmp_path):
    task = feature_task(kind, tmp_path / "w")
    network = fit(task, tmp_path / "state", device="cpu").network
    with pytest.raises(UnsupportedModelError, match=rf"{step} does not support a head that keeps features"):
        variant(network, task, tmp_path, {"name": step, **STEPS[step]}, EXPORT)


@pytest.mark.slow
def test_a_linear_probe_is_fine_tuned_as_any_network(tmp_path):
    task = feature_task("linear_probe", tmp_path / "w", **KINDS["linear_probe"])
    network = fit(task, tmp_path / "state", device="cpu").network
    step = {"name": "finetune", "epochs": 1, "lr": 0.001}
    model, _ = variant(network, task, tmp_path, step, EXPORT)
    tuned = model.source.network.state_dict()
    assert not torch.equal(tuned["conv1.0.weight"], network.state_dict()["conv1.0.weight"])
