"""One training, from arrays to the network with the best weights on the validation split."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
import torch
from torch import nn

from src.config.schema.augment import Augment
from src.config.schema.model import Cnn, Lenet, Timm
from src.config.schema.train import Train
from src.core.cpus import resolve_threads
from src.core.progress import progress_bar
from src.core.seeds import derive_seed
from src.data.loading.augmentation import Augmentation
from src.data.loading.datamodule import DataModule
from src.models.build import build_model
from src.models.numerics import choose_device, deterministic, resolve_numerics
from src.training.checkpoint import NAME, LastCheckpoint, read_checkpoint
from src.training.classifier import Classifier
from src.training.early_stopping import Row, best_epoch, should_stop
from src.training.fine_tuning import FineTuning
from src.training.log_filters import quiet_lightning

Rows = npt.NDArray[np.int64]
Numerics = dict[str, str | int]


@dataclass(frozen=True)
class TrainingTask:
    """All that decides a training, beside the machine."""

    model: Cnn | Lenet | Timm
    augment: Augment
    train: Train
    images: npt.NDArray[np.uint8]  # (N, C, H, W), may be memory-mapped
    targets: npt.NDArray[np.int64]  # (N,)
    train_rows: Rows
    val_rows: Rows
    shift: Sequence[float]  # one a channel, for pixels in 0…1
    scale: Sequence[float]
    classes: int
    seed: int


@dataclass(frozen=True)
class TrainingResult:
    """The outcome of a training."""

    network: nn.Module  # on the CPU, in evaluation mode, with the weights of the best epoch
    history: list[Row]
    best_epoch: int  # 1 is the first
    numerics: Numerics  # what the bytes of the weights depend on beside the task

    @property
    def best(self) -> Row:
        """The row of the best epoch."""
        return self.history[self.best_epoch - 1]


def fit(
    task: TrainingTask,
    state: Path,
    device: str = "auto",
    show: bool = False,
    on_start: Callable[[Numerics], None] | None = None,
    on_epoch: Callable[[Row], None] | None = None,
    refinement: FineTuning | None = None,
) -> TrainingResult:
    """Train, or go on from ``state`` where an earlier call with the same task was killed.

    ``on_start`` gets the numerics before the first step, ``on_epoch`` each row of the history, those of
    epochs before a resumption at once. The result depends on the task, on ``refinement`` and on
    ``Fitted.numerics`` only.
    Raises AssayError when the loss is no number, when the model cannot take the images, or when the
    checkpoint in ``state`` is damaged or foreign.
    """
    place = choose_device(device)
    with deterministic(resolve_threads(task.train.threads)):
        network = _initial_network(task, refinement)
        numerics = resolve_numerics(task.train, place, network)
        (on_start or _ignore)(numerics)
        state.mkdir(parents=True, exist_ok=True)
        history, best = _train(task, refinement, network, numerics, place, state, show, on_epoch or _ignore)
    network.load_state_dict(best)
    return TrainingResult(
        _to_cpu_contiguous(network), history, best_epoch(history, task.train.monitor), numerics
    )


def _initial_network(task: TrainingTask, refinement: FineTuning | None) -> nn.Module:
    if refinement is not None and refinement.network is not None:
        return refinement.network.train()
    torch.manual_seed(derive_seed(task.seed, "weights"))
    return build_model(task.model, task.images.shape[1], task.classes, task.images.shape[2:])


def _to_cpu_contiguous(network: nn.Module) -> nn.Module:
    """On the CPU, in evaluation mode, its weights laid out in memory as those of a new network: an export has
    other bytes for another layout, and a checkpoint does not bring back that of the training."""
    for tensor in (*network.cpu().parameters(), *network.buffers()):
        tensor.data = tensor.data.clone(memory_format=torch.contiguous_format)
    return network.eval()


def _train(
    task: TrainingTask,
    refinement: FineTuning | None,
    network: nn.Module,
    numerics: Numerics,
    device: torch.device,
    state: Path,
    show: bool,
    on_epoch: Callable[[Row], None],
) -> tuple[list[Row], dict[str, torch.Tensor]]:
    """The whole history and the weights of its best epoch."""
    origin = _origin(task, numerics) | ({"refinement": refinement.origin()} if refinement else {})
    earlier = read_checkpoint(state, origin)
    for row in earlier["history"] if earlier else []:
        on_epoch(row)
    if earlier and should_stop(earlier["history"], task.train):
        return earlier["history"], earlier["best"]
    data = DataModule(
        task.images, task.targets, task.train_rows, task.val_rows, task.train.batch_size, task.seed
    )
    steps = len(data.shuffled)
    done = len(earlier["history"]) if earlier else 0
    with progress_bar("Training", total=task.train.epochs * steps, show=show) as advance, quiet_lightning():
        advance(done * steps)
        module = _classifier(task, refinement, network, steps, advance)
        module.place_teacher(device)
        keeper = LastCheckpoint(state, origin, on_epoch)
        trainer = _trainer(task.train, str(numerics["precision"]), device, keeper)
        trainer.fit(module, datamodule=data, ckpt_path=state / NAME if earlier else None, weights_only=True)
    return module.history, module.best


def _classifier(
    task: TrainingTask,
    refinement: FineTuning | None,
    network: nn.Module,
    steps: int,
    advance: Callable[[int], None],
) -> Classifier:
    return Classifier(
        network=network.to(memory_format=torch.channels_last),  # type: ignore[call-overload]
        augmentation=Augmentation(task.augment.operations),
        train=task.train,
        shift=task.shift,
        scale=task.scale,
        seed=task.seed,
        steps_per_epoch=steps,
        advance=advance,
        refinement=refinement or FineTuning(),
    )


def _trainer(train: Train, precision: str, device: torch.device, keeper: LastCheckpoint) -> pl.Trainer:
    return pl.Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=[device.index] if device.type == "cuda" else 1,
        precision="bf16-mixed" if precision == "bf16" else "32-true",
        max_epochs=train.epochs,
        callbacks=[keeper],
        deterministic=True,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,  # the sampler is ours
    )


def _origin(task: TrainingTask, numerics: Numerics) -> dict[str, Any]:
    """What a checkpoint must agree in with a task, as plain values."""
    return {
        "model": task.model.model_dump(mode="json"),
        "augment": task.augment.model_dump(mode="json"),
        "train": task.train.model_dump(mode="json"),
        "seed": task.seed,
        "classes": task.classes,
        "normalization": [[float(value) for value in values] for values in (task.shift, task.scale)],
        "images": list(task.images.shape),
        "rows": [_digest(task.train_rows), _digest(task.val_rows)],
        "targets": _digest(task.targets),
        "numerics": numerics,
    }


def _digest(values: npt.NDArray[np.int64]) -> str:
    return hashlib.sha256(np.ascontiguousarray(values, dtype=np.int64).tobytes()).hexdigest()


def _ignore(news: object) -> None:
    """Nobody listens."""
