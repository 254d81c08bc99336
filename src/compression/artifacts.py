"""What the steps of a compression hand on to each other."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from src.config.schema.augment import Augment
from src.config.schema.train import Train
from src.models.normalization import NormalizedModel
from src.models.saving import ModelSpec
from src.models.size import Size


@dataclass(frozen=True)
class TorchModel:
    """A network before its export."""

    network: nn.Module  # normalized images (B, C, H, W) in, logits (B, K) out; on the CPU, in evaluation mode
    spec: ModelSpec
    masks: Mapping[str, Tensor] = field(default_factory=dict)
    """Name of a parameter -> bool of its shape; where it is False the weight is zero, and stays so."""
    size: Size | None = None  # counted before a conversion to int8; None: that of the network

    def normalized(self) -> NormalizedModel:
        """The network behind its normalization: takes uint8 images (B, C, H, W)."""
        return NormalizedModel(
            self.network, self.spec.normalization.shift, self.spec.normalization.scale
        ).eval()


@dataclass(frozen=True)
class OnnxModel:
    """A network as ONNX, which takes uint8 images (B, C, H, W): the normalization is inside."""

    content: bytes  # of the file
    source: TorchModel  # that it was exported from
    float_content: bytes | None = None  # the file that a quantize step took; None: there was no such step


@dataclass(frozen=True)
class StepContext:
    """What a step may use. It knows the rows that train and those that choose, and no test rows."""

    images: NDArray[np.uint8]  # (N, C, H, W), memory-mapped
    targets: NDArray[np.int64]  # (N,)
    train_rows: NDArray[np.int64]
    val_rows: NDArray[np.int64]
    base: TorchModel  # the teacher
    train: Train  # how the base was trained
    augment: Augment
    seed: int  # of this step
    threads: int
    device: str  # auto, cpu, cuda, cuda:N
    state: Path  # folder of this step, which survives a kill
    show: bool  # draw bars
    say: Callable[[str], None]  # one line for the person at the terminal
