"""An ensemble: who its members are, that they vote, and that a kill changes no byte."""

import copy
import math
import signal
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax

from src.compression.artifacts import StepContext, TorchModel, step_folder
from src.compression.checkpoint_reuse import reuse_checkpoints
from src.compression.ensemble import ensemble, member_task
from src.compression.export_step import export
from src.compression.onnx.library_errors import UnsupportedModelError
from src.compression.parity import onnx_logits, torch_logits
from src.compression.result import size_of
from src.config.schema.compress import Ensemble, Export
from src.core.errors import AssayError
from src.models.size import count_parameters
from src.serving.pyfunc import ImageClassifier
from src.training.early_stopping import LAST
from tests.support.compression import accuracy, base, base_task, context, weights
from tests.support.deadly_images import run_victim
from tests.support.training_tasks import model_section

THREE = Ensemble(name="ensemble", members=3)
SHORT = base_task().train.model_copy(update={"epochs": 2})


def untouched() -> TorchModel:
    """A copy of the base: running a network changes its memory layout, and that its export."""
    return TorchModel(copy.deepcopy(base().network), base().spec)


@pytest.fixture(scope="module")
def lines() -> list[str]:
    """What the step has printed."""
    return []


@pytest.fixture(scope="module")
def three(tmp_path_factory, lines) -> TorchModel:
    return ensemble(untouched(), THREE, context(tmp_path_factory.mktemp("three"), say=lines.append))


@pytest.fixture(scope="module")
def file(three, tmp_path_factory):
    return export(three, Export(name="export"), context(tmp_path_factory.mktemp("export")))


def members(model: TorchModel) -> list[TorchModel]:
    return [TorchModel(network, model.spec) for network in model.network.members]


def validation_images() -> np.ndarray:
    return base_task().images[base_task().val_rows]


def mean_probabilities(model: TorchModel) -> np.ndarray:
    """Of the members, each asked alone."""
    said = [torch_logits(member, validation_images()).astype(np.float64) for member in members(model)]
    return np.mean([softmax(logits, axis=1) for logits in said], axis=0)


@pytest.mark.slow
def test_its_probabilities_are_the_mean_of_its_members(three, file):
    """In torch, and in the one file."""
    wanted = mean_probabilities(three)
    in_torch = torch_logits(three, validation_images())
    in_onnx = onnx_logits(file.content, validation_images(), 1)
    np.testing.assert_allclose(softmax(in_torch.astype(np.float64), axis=1), wanted, atol=1e-6)
    np.testing.assert_allclose(softmax(in_onnx.astype(np.float64), axis=1), wanted, atol=1e-5)
    np.testing.assert_allclose(in_onnx, in_torch, atol=1e-4)


@pytest.mark.slow
def test_the_served_model_answers_with_the_vote(three, file, tmp_path):
    (tmp_path / "model.onnx").write_bytes(file.content)
    (tmp_path / "model.json").write_text(base().spec.to_json())
    served = ImageClassifier()
    served.load_context(type("Context", (), {"artifacts": {"model": str(tmp_path)}}))
    answer = served.predict(None, {"image": validation_images()})
    wanted = mean_probabilities(three)
    np.testing.assert_allclose(answer[[f"p_{digit}" for digit in range(10)]], wanted, atol=1e-5)
    assert list(answer["label"]) == [str(digit) for digit in wanted.argmax(1)]


@pytest.mark.slow
def test_the_base_is_the_first_member_and_the_others_differ(three, lines):
    first, second, third = map(weights, members(three))
    assert first == weights(base())
    assert len({each["0.0.weight"] for each in (first, second, third)}) == 3
    accuracies = [accuracy(member) for member in members(three)]
    assert min(accuracies) > 0.9
    assert lines == [
        f"member {number} of 3: validation accuracy {accuracies[number - 1]:.4f}" for number in (2, 3)
    ]


@pytest.mark.slow
def test_its_size_is_that_of_all_members(three, file):
    alone = count_parameters(base().network)
    assert size_of(file).parameters == 3 * alone
    assert size_of(file).bytes > 3 * 4 * alone


def test_a_member_is_trained_like_the_base_but_for_its_seed_and_its_last_epoch(tmp_path):
    train = base_task().train.model_copy(update={"patience": 3})
    tasks = [member_task(number, context(tmp_path, train=train)) for number in (2, 3)]
    assert len({base_task().seed, context(tmp_path).seed, *(task.seed for task in tasks)}) == 4
    for task in tasks:
        assert (task.train.monitor, task.train.patience) == (LAST, 0)
        assert task.train.model_copy(update={"monitor": train.monitor, "patience": 3}) == train
        assert (task.model, task.augment) == (base_task().model, base_task().augment)
        np.testing.assert_array_equal(task.train_rows, base_task().train_rows)


@pytest.mark.slow
def test_validation_images_decide_nothing_in_its_members(tmp_path):
    """With wrong labels for them the weights are the same, to the byte."""
    targets = base_task().targets.copy()
    targets[base_task().val_rows] = (targets[base_task().val_rows] + 1) % 10
    two = Ensemble(name="ensemble", members=2)
    found = [
        ensemble(untouched(), two, context(tmp_path / str(place), train=SHORT, targets=labels))
        for place, labels in enumerate((base_task().targets, targets))
    ]
    assert weights(found[0]) == weights(found[1])


def pretrained(folder) -> StepContext:
    """The context of a base that has started from a file, which its features may be shared with."""
    model = base().spec.model.model_copy(update={"weights": "start.safetensors"})
    started = TorchModel(base().network, replace(base().spec, model=model))
    return context(folder, base=started, weights=folder, features=folder / "features")


def test_members_start_from_the_weights_that_the_base_started_from(tmp_path):
    (tmp_path / "start.safetensors").touch()
    task = member_task(2, pretrained(tmp_path))
    assert task.weights == tmp_path / "start.safetensors"
    assert task.features == tmp_path / "features"
    assert member_task(2, context(tmp_path)).weights is None


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(AssayError, match=r"start\.safetensors is missing"):
        member_task(2, pretrained(tmp_path))


@pytest.mark.parametrize("name", ["linear_probe", "svm", "knn"])
def test_heads_that_no_seed_changes_make_no_ensemble(tmp_path, name):
    fitted = TorchModel(base().network, replace(base().spec, model=model_section(name)))
    with pytest.raises(UnsupportedModelError, match=f"every seed fits the same head .* model.kind={name}"):
        ensemble(fitted, THREE, context(tmp_path))


def test_the_checkpoints_of_all_members_are_reused(tmp_path):
    """By another variant that begins with the same ensemble."""
    states = {name: tmp_path / name for name in ("plain", "int8")}
    trained = step_folder(states["plain"], 0)
    for member in ("member-2", "member-3"):
        (trained / member).mkdir(parents=True)
        (trained / member / "last.ckpt").write_text(member)
    steps = {"plain": [THREE, Export(name="export")], "int8": [THREE]}
    reuse_checkpoints(steps, "int8", states.__getitem__, lambda line: None)
    for member in ("member-2", "member-3"):
        assert (step_folder(states["int8"], 0) / member / "last.ckpt").read_text() == member


VICTIM = """
import sys
from pathlib import Path
from safetensors.torch import save_file
from tests.compression.test_ensemble import *
from tests.support.deadly_images import Deadly

state, outcome, left = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
model = untouched()
Deadly.left = left
deadly = context(state, train=SHORT, images=base_task().images.view(Deadly))
tuned = ensemble(model, THREE, deadly)
save_file({name: value.contiguous() for name, value in tuned.network.state_dict().items()}, outcome)
"""


@pytest.mark.prove
def test_an_ensemble_that_is_killed_twice_ends_with_the_same_bytes(tmp_path):
    """In the second epoch of member 2, then in that of member 3, which finds the others trained."""
    assert run_victim(VICTIM, tmp_path, "whole", 0) == 0
    size = SHORT.batch_size
    reads = len(base_task().train_rows) // size + math.ceil(len(base_task().val_rows) / size)  # of an epoch
    checkpoints = [tmp_path / f"broken/member-{number}/last.ckpt" for number in (2, 3)]
    assert run_victim(VICTIM, tmp_path, "broken", reads + 4) == -signal.SIGKILL
    assert [path.exists() for path in checkpoints] == [True, False]
    assert run_victim(VICTIM, tmp_path, "broken", reads + reads + 4) == -signal.SIGKILL
    assert [path.exists() for path in checkpoints] == [True, True]
    finished = checkpoints[0].stat().st_mtime_ns
    assert run_victim(VICTIM, tmp_path, "broken", 0) == 0
    assert checkpoints[0].stat().st_mtime_ns == finished, "member 2 was not trained again"
    assert (tmp_path / "broken.safetensors").read_bytes() == (tmp_path / "whole.safetensors").read_bytes()
