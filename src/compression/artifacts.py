"""What the steps of a variant work on and with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from src.config.schema.augment import Augment
from src.config.schema.train import Train
from src.core.seeds import derive_seed
from src.data.dataset.spec import DataSpec
from src.models.normalization import NormalizedModel
from src.models.saving import ModelSpec


@dataclass(frozen=True)
class TorchModel:
    """A network before its export."""

    network: nn.Module  # normalized images (B, C, H, W) in, logits (B, K) out; on the CPU, in evaluation mode
    spec: ModelSpec
    masks: Mapping[str, Tensor] = field(default_factory=dict)
    """Name of a parameter -> bool of its shape. Where it is False the weight is zero and stays zero."""
    before_int8: nn.Module | None = None  # the network before its conversion to int8; None: it is not int8

    def normalized(self) -> NormalizedModel:
        """The network with its normalization: takes uint8 images (B, C, H, W)."""
        return NormalizedModel(
            self.network, self.spec.normalization.shift, self.spec.normalization.scale
        ).eval()


@dataclass(frozen=True)
class OnnxModel:
    """A network as ONNX. It takes uint8 images (B, C, H, W): the normalization is part of it."""

    content: bytes  # of the file
    source: TorchModel  # that it was exported from


@dataclass(frozen=True)
class StepContext:
    """What a step may use: the training and validation rows, never the test rows."""

    data: DataSpec  # of the images and their split
    images: NDArray[np.uint8]  # (N, C, H, W), memory-mapped
    targets: NDArray[np.int64]  # (N,)
    train_rows: NDArray[np.int64]
    val_rows: NDArray[np.int64]
    base: TorchModel  # the teacher
    train: Train  # how the base was trained
    augment: Augment
    seed: int
    threads: int
    device: str  # auto, cpu, cuda, cuda:N
    weights: Path  # folder with pretrained weights
    features: Path | None  # folder for features of a frozen backbone, which trainings share
    state: Path  # folder for checkpoints, which survives a kill
    show: bool  # draw progress bars
    say: Callable[[str], None]  # prints one line

    def for_step(self, place: int) -> "StepContext":
        """The context of the step at ``place``, with a seed and a folder of its own.

        Neither depends on the variant, so that variants with the same first steps can share checkpoints.
        """
        seed = derive_seed(self.seed, "compress", place)
        return replace(self, seed=seed, state=step_folder(self.state, place))


def step_folder(state: Path, place: int) -> Path:
    """Where the step at ``place`` keeps its checkpoints; ``state`` is the folder of the variant."""
    return state / f"step-{place}"
