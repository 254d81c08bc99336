"""A training that starts from a given network: after pruning, with a teacher, or with simulated rounding."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class FineTuning:
    """What a training has beside its task."""

    network: nn.Module | None = None  # is changed; None: a new one, as the task says
    masks: Mapping[str, Tensor] = field(default_factory=dict)
    """Name of a parameter -> bool of its shape; where it is False the weight stays zero."""
    teacher: nn.Module | None = None  # takes what the network takes, and sees the same augmented batch
    temperature: float = 1.0  # of both softmaxes
    alpha: float = 0.0  # share of the distillation loss, 0 to 1

    def fingerprint(self) -> dict[str, Any]:
        """What a checkpoint must agree in, as plain values."""
        return {
            "network": hash_tensors(self.network.state_dict()) if self.network is not None else None,
            "teacher": hash_tensors(self.teacher.state_dict()) if self.teacher is not None else None,
            "masks": hash_tensors(self.masks),
            "temperature": self.temperature,
            "alpha": self.alpha,
        }


def distillation_loss(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Mean Kullback-Leibler divergence of the student's softened distribution from the teacher's.

    Both logits are (B, K). Times temperature², so that the gradient keeps its size at any temperature
    (Hinton, Vinyals and Dean, 2015, section 2).
    """
    student = functional.log_softmax(logits / temperature, dim=1)
    target = functional.log_softmax(teacher / temperature, dim=1)
    divergence = functional.kl_div(student, target, reduction="batchmean", log_target=True)
    return divergence * temperature**2


@torch.no_grad()
def apply_masks(network: nn.Module, masks: Mapping[str, Tensor]) -> None:
    """Set masked weights to zero, which the optimizer may have changed."""
    for name, mask in masks.items():
        parameter = network.get_parameter(name)
        parameter.mul_(mask.to(parameter.device))


def hash_tensors(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, shapes, types and values."""
    digest = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {list(value.shape)} {value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
