"""One training, from arrays to the network with the best weights on the validation split."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from pytorch_lightning.loggers import Logger
from pytorch_lightning.profilers import Profiler
from torch import nn

from src.config.schema.model import FeatureModel
from src.core.hashing import file_hash
from src.core.progress import progress_bar
from src.core.seeds import derive_seed
from src.data.loading.augmentation import Augmentation
from src.data.loading.datamodule import DataModule
from src.models.build import build_model, refuse_single_images
from src.models.numerics import choose_device, computing, resolve_numerics, seed_torch
from src.models.saving import weights_hash
from src.pretrained.loading import load_weights
from src.training.callback_loading import load_callbacks
from src.training.checkpoint import EarlierTraining, LastCheckpoint, read_checkpoint
from src.training.classifier import Classifier
from src.training.early_stopping import LAST, Row, best_epoch
from src.training.features import Features, backbone_task, head_on_features, shared_features
from src.training.fine_tuning import FineTuning
from src.training.hooks import ReplayHistory, StepProgress
from src.training.log_filters import quiet_lightning
from src.training.losses import class_weights
from src.training.task import Rows, TrainingTask
from src.training.validation import ValidationMetrics, check_metrics

Numerics = dict[str, str | int]
Images = NDArray[np.uint8]
PRECISIONS: dict[str, Any] = {"bf16": "bf16-mixed", "fp16": "16-mixed"}  # in Lightning's words


@dataclass(frozen=True)
class TrainingResult:
    """What a training leaves."""

    network: nn.Module  # on the CPU, in evaluation mode, with the weights of the best epoch
    history: list[Row]
    hashes: list[str]  # SHA-256 of the weights after each epoch, as model.safetensors would hold them
    best_epoch: int  # 1 is the first
    numerics: Numerics  # what the bytes of the weights depend on beside the task
    notes: list[str]  # how the weights to start from were adapted, a sentence each
    fitted: bool = False  # a head on features, which has no epochs: its history is one row

    @property
    def best(self) -> Row:
        """The row of the best epoch."""
        return self.history[self.best_epoch - 1]

    @property
    def kept(self) -> str:
        """Which weights were kept, in words."""
        if self.fitted:
            return "of the fitted head"
        return f"in epoch {self.best_epoch} of {len(self.history)}"

    @property
    def validation(self) -> dict[str, float]:
        """The metrics of the validation images in the best epoch."""
        return {name: value for name, value in self.best.items() if name.startswith("val/")}


@dataclass(frozen=True)
class Watch:
    """What looks at a training, and may end it, but has no part in its steps."""

    callbacks: Sequence[pl.Callback] = ()
    profiler: Profiler | None = None
    detect_anomaly: bool = False  # autograd raises RuntimeError at the first gradient that is NaN


def fit(
    task: TrainingTask,
    state: Path,
    device: str = "auto",
    show: bool = False,
    on_start: Callable[[Numerics], None] | None = None,
    on_epoch: Callable[[Row], None] | None = None,
    fine_tuning: FineTuning | None = None,
    loggers: Sequence[Logger] = (),
    watch: Watch = Watch(),
    say: Callable[[str], None] | None = None,
) -> TrainingResult:
    """Train, or resume where an earlier call with the same task was killed.

    The result depends on the task, on ``fine_tuning`` and on ``TrainingResult.numerics`` only.

    Args:
        state: folder of the checkpoint, which is written after every epoch.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        show: draw a progress bar.
        on_start: gets the numerics before the first step.
        on_epoch: gets each row of the history; those of epochs before a resumption at once.
        fine_tuning: a network to start from, a teacher, masks.
        loggers: Lightning's; each gets the whole history, also when a training is resumed.
        watch: what looks at the training; it may raise errors of its own.
        say: gets a line if the training is resumed.

    Raises:
        AssayError: the loss is not finite, a fit does not converge, the model cannot take the images, a
            callback or an optimizer cannot be made, a metric or a class weight is of an unknown class, or the
            checkpoint in ``state`` is damaged or belongs to another task.
    """
    on_start, on_epoch, say = on_start or _ignore, on_epoch or _ignore, say or _ignore
    place, train = choose_device(device), task.train
    with computing(train):
        # 1. What can be refused, then the network. Its numerics are reported first, so that a run that fails
        #    has them too.
        monitored = [train.monitor] if train.monitor != LAST else []
        validation = ValidationMetrics([*monitored, *task.metrics], task.classes)
        check_metrics(validation.names, task.targets[task.val_rows], task.classes)
        weights = class_weights(train, task.targets[task.train_rows], task.classes)
        network, notes = _initial_network(task, fine_tuning)
        if train.batch_size == 1:
            refuse_single_images(network, task.images.shape[1:])
        numerics = resolve_numerics(train, place, network)
        on_start(numerics)

        #    A head that is fitted takes seconds: a fit that was killed starts over.
        if isinstance(task.model, FeatureModel) and fine_tuning is None:
            from src.training.feature_fit import replace_head  # scikit-learn takes half a second

            features = shared_features(network, backbone_task(task), numerics, place, show)
            row = replace_head(network, task, features, weights, validation)
            on_epoch(row)
            network = _to_cpu_contiguous(network)
            return TrainingResult(network, [row], [weights_hash(network)], 1, numerics, notes, fitted=True)

        # 2. What an earlier call left. The fingerprint is taken before any weight changes.
        fingerprint = _fingerprint(task, numerics, fine_tuning)
        state.mkdir(parents=True, exist_ok=True)
        keeper = LastCheckpoint(state, fingerprint, on_epoch)
        earlier = read_checkpoint(state, fingerprint)
        for row in earlier.history if earlier else []:
            on_epoch(row)
        if earlier and earlier.finished:
            trained = head_on_features(network, task) or network
            return _result(network, trained, earlier, numerics, train.monitor, notes)
        if earlier:
            say(f"Resuming after epoch {len(earlier.history)} of {train.epochs}")

        # 3. What is trained: the network on images, or its head alone on features that are computed once.
        images: Images | Features = task.images
        trained, shift, scale = network, task.shift, task.scale
        head = head_on_features(network, task)
        if head is not None:
            images = shared_features(network, task, numerics, place, show)
            trained, shift, scale = head, [0.0], [1.0]

        # 4. The data: order and augmentation of a batch depend on (seed, epoch, batch index) only.
        data = DataModule(
            images,
            task.targets,
            task.train_rows,
            task.val_rows,
            train.batch_size,
            task.seed,
            balanced=train.sampler == "balanced",
        )
        batches = len(data.shuffled)
        module = Classifier(
            network=trained.to(memory_format=torch.channels_last),  # type: ignore[call-overload]
            augmentation=Augmentation(task.augment.operations),
            train=train,
            shift=shift,
            scale=scale,
            seed=task.seed,
            batches=batches,
            fine_tuning=fine_tuning or FineTuning(),
            validation=validation,
            weights=weights,
        )

        # 5. The epochs. The checkpoint is written last, when all else of the epoch is done.
        bar = progress_bar("Training", total=train.epochs * batches, show=show, unit="batches")
        with bar as advance, quiet_lightning():
            advance(len(earlier.history) * batches if earlier else 0)
            hooks = [*([StepProgress(advance)] if show else []), *([ReplayHistory()] if loggers else [])]
            callbacks = [*load_callbacks(train.callbacks), *hooks, *watch.callbacks, keeper]
            trainer = _trainer(task, str(numerics["precision"]), place, callbacks, loggers, state, watch)
            trainer.fit(
                module, datamodule=data, ckpt_path=keeper.path if earlier else None, weights_only=True
            )
        return _result(network, trained, module, numerics, train.monitor, notes)


def _initial_network(task: TrainingTask, fine_tuning: FineTuning | None) -> tuple[nn.Module, list[str]]:
    """The network, and how its weights were adapted."""
    if fine_tuning is not None and fine_tuning.network is not None:
        return fine_tuning.network.train(), []
    seed_torch(derive_seed(task.seed, "weights"), torch.device("cpu"))
    model = backbone_task(task).model
    network = build_model(model, task.images.shape[1], len(task.classes), task.images.shape[2:])
    if task.weights is None:
        return network, []
    return network, load_weights(network, task.weights, isinstance(task.model, FeatureModel))


def _trainer(
    task: TrainingTask,
    precision: str,
    device: torch.device,
    callbacks: list[pl.Callback],
    loggers: Sequence[Logger],
    state: Path,
    watch: Watch,
) -> pl.Trainer:
    return pl.Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=[device.index] if device.type == "cuda" else 1,
        precision=PRECISIONS.get(precision, "32-true"),
        accumulate_grad_batches=task.train.accumulate_grad_batches,
        max_epochs=task.train.epochs,
        callbacks=callbacks,
        deterministic=True,
        logger=list(loggers) or False,
        default_root_dir=state,  # of callbacks that write files
        profiler=watch.profiler,
        detect_anomaly=watch.detect_anomaly,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,  # the sampler is ours
    )


def _result(
    network: nn.Module,
    trained: nn.Module,
    source: EarlierTraining | Classifier,
    numerics: Numerics,
    monitor: str,
    notes: list[str],
) -> TrainingResult:
    """``trained`` is the network, or the part of it that was trained."""
    trained.load_state_dict(source.best)
    best = best_epoch(source.history, monitor)
    network = _to_cpu_contiguous(network)
    return TrainingResult(network, source.history, source.hashes, best, numerics, notes)


def _to_cpu_contiguous(network: nn.Module) -> nn.Module:
    """On the CPU, in evaluation mode, with the memory layout of a new network.

    An export has other bytes for another layout, and a checkpoint does not bring back that of the training.
    """
    for tensor in (*network.cpu().parameters(), *network.buffers()):
        tensor.data = tensor.data.clone(memory_format=torch.contiguous_format)
    return network.eval()


def _fingerprint(task: TrainingTask, numerics: Numerics, fine_tuning: FineTuning | None) -> dict[str, Any]:
    """What a checkpoint must agree in, as plain values."""
    return {
        "model": task.model.model_dump(mode="json"),
        "augment": task.augment.model_dump(mode="json"),
        "train": task.train.model_dump(mode="json"),
        "seed": task.seed,
        "classes": list(task.classes),
        "metrics": list(task.metrics),
        "normalization": [[float(value) for value in values] for values in (task.shift, task.scale)],
        "images": list(task.images.shape),
        "rows": [_hash_rows(task.train_rows), _hash_rows(task.val_rows)],
        "targets": _hash_rows(task.targets),
        "numerics": numerics,
        "fine_tuning": fine_tuning.fingerprint() if fine_tuning else None,
        "weights": file_hash(task.weights) if task.weights else None,
    }


def _hash_rows(values: Rows) -> str:
    return hashlib.sha256(np.ascontiguousarray(values, dtype=np.int64).tobytes()).hexdigest()


def _ignore(value: object) -> None:
    """Stands in for a callback that was not given."""
