"""Fine-tuning and distillation: what is learnt, from whom, and that a kill changes no byte."""

import copy
import signal

import pytest
import torch
from torch import nn

from src.compression.artifacts import TorchModel
from src.compression.fine_tune import distill, fine_tuning_config, finetune, make_task
from src.compression.onnx.library_errors import UnsupportedModelError
from src.compression.prune import prune_unstructured
from src.config.schema.compress import Distill, Finetune, PruneUnstructured
from src.models.size import count_parameters
from src.training.fine_tuning import FineTuning, apply_masks, distillation_loss
from src.training.fit import fit
from tests.support.compression import accuracy, base, base_task, context, weights
from tests.support.deadly_images import run_victim

STUDENT = {"widths": [8, 16]}


def step(epochs: int = 4, **changes) -> Distill:
    fields = {
        "name": "distill",
        "student": STUDENT,
        "epochs": epochs,
        "lr": 0.01,
        "temperature": 4.0,
        "alpha": 0.7,
    }
    return Distill(**fields | changes)


class Witness(nn.Module):
    """Passes on what it wraps, and remembers what went in."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.seen: list[torch.Tensor] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.append(x.detach().clone())
        return self.network(x)


def test_soft_loss_is_the_divergence_of_the_paper():
    """Against the definition, written out: T² Σ p log(p / q), the mean over the batch."""
    torch.manual_seed(0)
    student, teacher, temperature = torch.randn(7, 5), torch.randn(7, 5), 3.0
    p = torch.softmax(teacher / temperature, 1)
    q = torch.softmax(student / temperature, 1)
    wanted = temperature**2 * (p * (p / q).log()).sum(1).mean()
    assert distillation_loss(student, teacher, temperature) == pytest.approx(float(wanted), rel=1e-5)
    assert distillation_loss(teacher, teacher, temperature) == pytest.approx(0, abs=1e-6)


def test_at_a_high_temperature_its_gradient_is_that_of_matching_logits():
    """Hinton et al., equation 4: (z - v) / N for logits with zero mean, in the limit."""
    torch.manual_seed(0)
    student, teacher = (
        logits - logits.mean(1, keepdim=True) for logits in (torch.randn(1, 6), torch.randn(1, 6))
    )
    student.requires_grad_()
    distillation_loss(student, teacher, 1000.0).backward()
    assert torch.allclose(student.grad, (student - teacher).detach() / 6, atol=1e-3)


def test_hold_touches_nothing_but_what_is_masked():
    layer = nn.Linear(3, 2)
    before, mask = copy.deepcopy(layer.state_dict()), torch.tensor([[True, False, True], [False, True, True]])
    apply_masks(layer, {"weight": mask})
    assert torch.equal(layer.weight, before["weight"] * mask)
    assert torch.equal(layer.bias, before["bias"])


@pytest.mark.slow
def test_a_student_is_smaller_and_nearly_as_good(tmp_path):
    student = distill(base(), step(epochs=8), context(tmp_path))
    assert count_parameters(student.network) < 0.3 * count_parameters(base().network)
    assert student.spec.model.widths == [8, 16]
    assert accuracy(student) >= accuracy(base()) - 0.05


class Exchange(nn.Module):
    """Takes 0 for 1, and 1 for 0."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, [1, 0, *range(2, 10)]]


def liar() -> TorchModel:
    return TorchModel(nn.Sequential(copy.deepcopy(base().network), Exchange()), base().spec)


def test_soft_labels_alone_teach(tmp_path):
    """With alpha at 1 the true labels have no part, and the student learns its teacher's mistakes."""
    student = distill(base(), step(epochs=8, alpha=1.0), context(tmp_path, base=liar()))
    task = base_task()
    rows = task.val_rows[task.targets[task.val_rows] < 2]
    with torch.inference_mode():
        said = student.normalized()(torch.from_numpy(task.images[rows])).argmax(1).numpy()
    assert (said == 1 - task.targets[rows]).mean() > 0.85


def test_hard_labels_alone_are_a_training_without_a_teacher(tmp_path):
    """With alpha at 0 the soft loss weighs nothing."""
    taught = distill(base(), step(alpha=0.0), context(tmp_path / "one", base=liar()))
    alone = distill(base(), step(alpha=0.0), context(tmp_path / "other"))
    assert weights(taught) == weights(alone)


def test_the_teacher_sees_the_batches_of_the_student(tmp_path):
    """Augmented alike: the same tensors, in the same order."""
    pupil, teacher = Witness(copy.deepcopy(base().network)), Witness(copy.deepcopy(base().network))
    augment = base_task().augment.model_validate({"operations": [{"name": "crop", "padding": 1}]})
    known = context(tmp_path, augment=augment)
    task = make_task(base().spec, fine_tuning_config(known.train, 1, 0.01), known)
    refinement = FineTuning(network=pupil, teacher=teacher, temperature=2.0, alpha=0.5)
    fit(task, tmp_path, "cpu", fine_tuning=refinement)
    batches = len(task.train_rows) // task.train.batch_size
    assert len(teacher.seen) == batches
    assert all(torch.equal(one, other) for one, other in zip(pupil.seen[:batches], teacher.seen, strict=True))


def test_a_network_goes_on_as_its_own_student(tmp_path):
    pruned = prune_unstructured(
        base(),
        PruneUnstructured(name="prune_unstructured", ratio=0.8, criterion="magnitude"),
        context(tmp_path),
    )
    taught = distill(pruned, step(student=None), context(tmp_path))
    assert accuracy(taught) > accuracy(pruned)
    for name, mask in pruned.masks.items():
        assert not taught.network.get_parameter(name)[~mask].any()


@pytest.mark.parametrize(
    ("student", "reason"),
    [({"width": [4]}, "width: Extra inputs are not permitted"), ({"widths": []}, "at least 1 item")],
)
def test_an_impossible_student_is_a_result_with_a_reason(tmp_path, student, reason):
    with pytest.raises(UnsupportedModelError, match=reason):
        distill(base(), step(student=student), context(tmp_path))


def test_a_student_larger_than_its_teacher_is_reported(tmp_path):
    lines: list[str] = []
    distill(base(), step(epochs=1, student={"widths": [16, 32, 64]}), context(tmp_path, say=lines.append))
    assert len(lines) == 1 and "it is no smaller" in lines[0]


def test_warm_up_keeps_its_share_of_the_training():
    train = base_task().train
    short = fine_tuning_config(train, epochs=3, lr=0.5)
    assert (short.epochs, short.optimizer.lr) == (3, 0.5)
    assert short.schedule.warmup == train.schedule.warmup
    assert short.optimizer.weight_decay == train.optimizer.weight_decay


@pytest.mark.slow
@pytest.mark.parametrize("name", ["constant", "plateau"])
def test_validation_images_decide_nothing_in_a_training_of_a_variant(tmp_path, name):
    """They will choose the variant. With wrong labels, by which the best epoch is the one that has learned
    least, the weights are the same, to the byte."""
    schedule = base_task().train.schedule.model_copy(update={"name": name, "patience": 0, "warmup": 0.0})
    train = base_task().train.model_copy(update={"schedule": schedule, "patience": 1, "ema_decay": 0.0})
    targets = base_task().targets.copy()
    targets[base_task().val_rows] = (targets[base_task().val_rows] + 1) % 10
    tuned = [
        finetune(
            base(),
            Finetune(name="finetune", epochs=4, lr=0.05),
            context(tmp_path / str(place), train=train, targets=labels),
        )
        for place, labels in enumerate((base_task().targets, targets))
    ]
    assert weights(tuned[0]) == weights(tuned[1])
    assert weights(tuned[0]) != weights(base())


def test_base_and_teacher_are_left_alone(tmp_path):
    before = weights(base())
    finetune(base(), Finetune(name="finetune", epochs=1, lr=0.01), context(tmp_path / "one"))
    distill(base(), step(epochs=1, student=None), context(tmp_path / "other"))
    assert weights(base()) == before
    assert all(parameter.requires_grad for parameter in base().network.parameters())


VICTIM = """
import sys
from pathlib import Path
from safetensors.torch import save_file
from src.compression.prune import prune_unstructured
from tests.compression.test_fine_tune import *
from tests.support.deadly_images import Deadly

state, outcome, left = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
known = context(state)
prune = PruneUnstructured(name="prune_unstructured", ratio=0.8, criterion="magnitude")
pruned = prune_unstructured(base(), prune, known)
Deadly.left = left
deadly = context(state, images=base_task().images.view(Deadly))
tuned = distill(pruned, step(student=None), deadly)
save_file({name: value.contiguous() for name, value in tuned.network.state_dict().items()}, outcome)
"""


@pytest.mark.prove
def test_a_distillation_that_is_killed_ends_with_the_same_bytes(tmp_path):
    """In the middle of an epoch, with masks and a teacher."""
    assert run_victim(VICTIM, tmp_path, "whole", 0) == 0
    reads = len(base_task().train_rows) // base_task().train.batch_size + 1  # of an epoch
    assert run_victim(VICTIM, tmp_path, "broken", reads + 4) == -signal.SIGKILL
    assert not (tmp_path / "broken.safetensors").exists()
    assert run_victim(VICTIM, tmp_path, "broken", 0) == 0
    assert (tmp_path / "broken.safetensors").read_bytes() == (tmp_path / "whole.safetensors").read_bytes()
