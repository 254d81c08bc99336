"""Features of a frozen backbone, computed once: a training of the head alone then costs next to nothing.

They are kept in a file whose name is a hash of all that they depend on, so that the trials of a search and
the folds of a cross-validation find them there.
"""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from torch import Tensor, nn

from src.config.schema.model import FeatureModel
from src.core.files import replaced
from src.core.hashing import file_hash, json_hash
from src.core.progress import progress_bar
from src.models.head import head_names
from src.models.networks.feature_heads import backbone_section
from src.models.normalization import NormalizedModel
from src.training.fine_tuning import hash_tensors
from src.training.task import TrainingTask

FEATURES = Path(".assay/features")  # below the root of the repository
BATCH = 64  # images at a time
RANDOM = ("dropout", "drop_path")  # do nothing where features are computed

Features = NDArray[np.float32]


class Head(nn.Module):
    """The head of a network on features (B, D, 1, 1), as an image with D channels and one pixel."""

    def __init__(self, layer: nn.Module, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.layer = layer

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.layer(self.dropout(features.flatten(1)))
        return logits


def backbone_task(task: TrainingTask) -> TrainingTask:
    """The task with the network whose features the model takes, as ``model=timm`` has it; others stay."""
    if not isinstance(task.model, FeatureModel):
        return task
    return replace(task, model=backbone_section(task.model))


def head_on_features(network: nn.Module, task: TrainingTask) -> Head | None:
    """The head of ``network`` if it alone is trained, on images that are not augmented; else None."""
    train = task.train
    if train.finetune.layers != "head" or task.features is None:
        return None
    if task.augment.operations or train.mixup or train.cutmix:
        return None
    names = head_names(network)
    layer = network.get_submodule(names[0]) if len(names) == 1 else None
    return Head(layer, getattr(task.model, "dropout", 0.0)) if isinstance(layer, nn.Linear) else None


def shared_features(
    network: nn.Module, task: TrainingTask, numerics: dict[str, str | int], device: torch.device, show: bool
) -> Features:
    """What the head of ``network`` gets for each image, (N, D, 1, 1) float32, memory-mapped.

    Without a folder for features they are in memory, and computed each time.
    """
    if task.features is None:
        return _compute(network, task, device, show)
    path = task.features / f"{_key(network, task, numerics)}.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        if not _is_intact(path):
            for rest in path.parent.glob(f"{path.name}.*.tmp"):  # of processes that were killed
                rest.unlink()
            with replaced(path) as beside, beside.open("wb") as file:
                np.save(file, _compute(network, task, device, show))
            _mark(path).write_text(file_hash(path), encoding="utf-8")
    features: Features = np.load(path, mmap_mode="r")
    return features


def _mark(path: Path) -> Path:
    """A file with the SHA-256 of the features, written after them."""
    return path.with_suffix(".sha256")


def _is_intact(path: Path) -> bool:
    mark = _mark(path)
    return path.is_file() and mark.is_file() and mark.read_text(encoding="utf-8") == file_hash(path)


def _key(network: nn.Module, task: TrainingTask, numerics: dict[str, str | int]) -> str:
    head = head_names(network)[0]
    backbone = {
        name: value for name, value in network.state_dict().items() if not name.startswith(f"{head}.")
    }
    return json_hash(
        {
            "backbone": hash_tensors(backbone),
            "model": task.model.model_dump(mode="json", exclude=set(RANDOM)),
            "images": hashlib.sha256(np.ascontiguousarray(task.images).data).hexdigest(),
            "normalization": [list(task.shift), list(task.scale)],
            "numerics": numerics,
        }
    )


@torch.inference_mode()
def _compute(network: nn.Module, task: TrainingTask, device: torch.device, show: bool) -> Features:
    whole = NormalizedModel(network, task.shift, task.scale).to(device).eval()
    taken: list[Tensor] = []
    layer = network.get_submodule(head_names(network)[0])
    hook = layer.register_forward_pre_hook(lambda _, inputs: taken.append(inputs[0].cpu()))
    with progress_bar("Computing features", total=len(task.images), show=show) as advance:
        for start in range(0, len(task.images), BATCH):
            batch = torch.from_numpy(np.array(task.images[start : start + BATCH])).to(device)
            whole(batch.contiguous(memory_format=torch.channels_last))
            advance(len(batch))
    hook.remove()
    features: Features = torch.cat(taken)[:, :, None, None].numpy()
    return features
