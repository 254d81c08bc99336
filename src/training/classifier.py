"""The Lightning module: what happens to a batch, and what is measured after each epoch."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from src.config.schema.train import Train
from src.core.errors import AssayError
from src.core.metric_names import ALWAYS
from src.core.seeds import derive_seed
from src.data.loading.augmentation import Augmentation
from src.models.normalization import channel_tensor
from src.models.numerics import seed_torch
from src.models.saving import weights_hash
from src.training.early_stopping import Row, best_epoch, score, should_stop
from src.training.fine_tuning import FineTuning, apply_masks, distillation_loss
from src.training.freezing import freeze
from src.training.losses import classification_loss, l1_norm
from src.training.lr_schedules import lr_factor, plateau_drops
from src.training.mixing import mix
from src.training.optimizers import create_optimizer
from src.training.validation import ValidationMetrics
from src.training.weight_averaging import average_of, averages_epoch, measure_statistics

Batch = tuple[Tensor, Tensor]  # uint8 (B, C, H, W), int64 (B,)
KEY = "assay"  # of our part of a checkpoint


class DivergedError(AssayError):
    """The loss of a training is not finite."""


class Classifier(pl.LightningModule):
    """Trains ``network`` and keeps its best weights on the validation split.

    Everything that decides a step is a function of (seed, epoch, batch index) or is in the checkpoint, so
    that a training that was killed and resumed equals an unbroken one. Sums stay on the device during an
    epoch, and ``self.log`` is called once after it: a call per step would cost more than the step's Python.
    """

    shift: Tensor
    scale: Tensor
    weights: Tensor | None  # of the classes, in the loss

    def __init__(
        self,
        network: nn.Module,
        augmentation: Augmentation,
        train: Train,
        shift: Sequence[float],
        scale: Sequence[float],
        seed: int,
        batches: int,
        fine_tuning: FineTuning,
        validation: ValidationMetrics,
        weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.averaged = average_of(network, train)
        self.augmentation = augmentation
        self.train_section = train
        self.register_buffer("shift", channel_tensor(shift), persistent=False)
        self.register_buffer("scale", channel_tensor(scale), persistent=False)
        self.register_buffer("weights", torch.tensor(weights) if weights else None, persistent=False)
        self.seed = seed
        self.batches = batches  # of an epoch
        self.validation = validation
        self.fine_tuning = fine_tuning  # keeps its teacher out of this module's weights
        self.history: list[Row] = []
        self.best: dict[str, Tensor] = {}
        self.hashes: list[str] = []  # of the weights after each epoch, as they would be kept
        self._drops = 0

    def configure_optimizers(self) -> Optimizer:
        train = self.train_section
        freeze(self.network, train.finetune, train.epochs)  # only what is trained at some time
        # A gradient scaler leaves fused optimizers to unscale the gradients, which is too late for clipping.
        fused, layer_decay = train.precision != "fp16", train.finetune.layer_decay
        return create_optimizer(self.network, train.optimizer, fused, layer_decay)

    @property
    def steps(self) -> int:
        """Steps of the optimizer in an epoch."""
        return math.ceil(self.batches / self.train_section.accumulate_grad_batches)

    def on_fit_start(self) -> None:
        """Lightning has moved the module to its device; move what it does not know of."""
        if self.averaged is not None:  # update_parameters reads the count, and would wait for a GPU
            self.averaged.n_averaged = self.averaged.n_averaged.cpu()
        if self.fine_tuning.teacher is not None:
            teacher = self.fine_tuning.teacher.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            teacher.eval().requires_grad_(False)

    def on_train_epoch_start(self) -> None:
        freeze(self.network, self.train_section.finetune, self.current_epoch)
        scores = [score(row, self.train_section.monitor) for row in self.history]
        self._drops = plateau_drops(self.train_section.schedule, scores)
        self._loss_sum = torch.zeros((), dtype=torch.float64, device=self.device)
        self._first_bad = torch.full((), -1, device=self.device)  # step of the first loss that is not finite

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        seed_torch(self._batch_seed("batch", batch_idx), self.device)
        for group in self._optimizer().param_groups:
            group["lr"] = self._learning_rate(batch_idx) * group.get("lr_scale", 1.0)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        train = self.train_section
        images, targets = batch
        pixels = self.augmentation(_to_float(images))
        if train.mixup or train.cutmix:
            random = np.random.default_rng(self._batch_seed("mix", batch_idx))
            pixels, targets = mix(pixels, targets, len(self.validation.classes), train, random)
        x = self._normalize(pixels)
        logits = self.network(x).float()
        loss = classification_loss(logits, targets, train, self.weights)
        if self.fine_tuning.teacher is not None:
            loss = self._add_distillation(loss, logits, x)
        self._accumulate_loss(loss.detach(), batch_idx)
        if train.l1:
            loss = loss + train.l1 * l1_norm(self.network)
        return loss if train.accumulate_grad_batches == 1 else loss * self._share_of_step(batch_idx)

    def configure_gradient_clipping(self, optimizer: Optimizer, *limits: Any, **more: Any) -> None:
        # Lightning's own refuses fused optimizers under mixed precision, for a scaler that bf16 lacks.
        if self.train_section.gradient_clip_val:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.train_section.gradient_clip_val)

    def on_train_batch_end(self, outputs: object, batch: Batch, batch_idx: int) -> None:
        apply_masks(self.network, self.fine_tuning.masks)
        train, last = self.train_section, batch_idx + 1 == self.batches
        if self.averaged is None:
            return
        if train.ema_decay and (last or (batch_idx + 1) % train.accumulate_grad_batches == 0):
            self.averaged.update_parameters(self.network)
        if last and averages_epoch(train, self.current_epoch):
            self._average_epoch(self.averaged)

    def on_validation_epoch_start(self) -> None:
        self._refuse_bad_loss()
        self.validation.start(self.device)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        images, targets = batch
        with torch.autocast(
            self.device.type, enabled=False
        ):  # a metric that decides, so in fp32 as elsewhere
            logits = self._evaluated()(self._normalize(_to_float(images)))
        self.validation.update(logits, targets)

    def on_validation_epoch_end(self) -> None:
        self._row = self._epoch_metrics()
        for name in (*ALWAYS, *self.validation.names):
            self.log(name, self._row[name])

    def on_train_epoch_end(self) -> None:
        """Runs after the epoch's validation."""
        self.log("train/loss", self._row["train/loss"])
        self.log("lr", self._row["lr"])
        self.history.append(self._row)
        self.hashes.append(weights_hash(self._evaluated()))
        train = self.train_section
        if best_epoch(self.history, train.monitor) == len(self.history):
            state = self._evaluated().state_dict()
            self.best = {name: value.detach().cpu().clone() for name, value in state.items()}
        self.trainer.should_stop = self.trainer.should_stop or should_stop(self.history, train)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[KEY] |= {"history": self.history, "best": self.best, "hashes": self.hashes}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.history = list(checkpoint[KEY]["history"])
        self.best = dict(checkpoint[KEY]["best"])
        self.hashes = list(checkpoint[KEY]["hashes"])

    def _add_distillation(self, hard: Tensor, logits: Tensor, x: Tensor) -> Tensor:
        """The loss on true labels mixed with that on the teacher's; ``x`` is what the network saw."""
        assert self.fine_tuning.teacher is not None
        with torch.no_grad():
            target = self.fine_tuning.teacher(x).float()
        soft = distillation_loss(logits, target, self.fine_tuning.temperature)
        return (1 - self.fine_tuning.alpha) * hard + self.fine_tuning.alpha * soft

    def _average_epoch(self, averaged: AveragedModel) -> None:
        """Add the weights of the epoch to the average, and measure its batch norms on the same images."""
        averaged.update_parameters(self.network)
        seed_torch(self._batch_seed("batch norm", self.batches), self.device)
        batches: Any = self.trainer.train_dataloader  # of this epoch, without augmentation
        measure_statistics(averaged, (self._normalize(_to_float(x.to(self.device))) for x, _ in batches))

    def _evaluated(self) -> nn.Module:
        """The averaged network once there is one, which with SWA is in its last epochs only."""
        return self.network if self.averaged is None or not self.averaged.n_averaged else self.averaged.module

    def _batch_seed(self, purpose: str, batch_idx: int) -> int:
        return derive_seed(self.seed, purpose, self.current_epoch, batch_idx, self.global_rank)

    def _share_of_step(self, batch_idx: int) -> float:
        """Makes the gradient the mean over the batches of a step, of which the last of an epoch has fewer.

        Lightning has divided by their usual number already.
        """
        usual = self.train_section.accumulate_grad_batches
        before = batch_idx - batch_idx % usual
        return usual / min(usual, self.batches - before)

    def _optimizer(self) -> Optimizer:
        return self.trainer.optimizers[0]

    def _learning_rate(self, batch_idx: int) -> float:
        train = self.train_section
        step = self.current_epoch * self.batches + batch_idx
        if train.swa_start:
            step = min(step, int(train.swa_start * train.epochs * self.batches))
        share = lr_factor(train.schedule, step, self.batches, train.epochs, self._drops)
        return train.optimizer.lr * share

    def _normalize(self, pixels: Tensor) -> Tensor:
        x = (pixels - self.shift) / self.scale
        return x.contiguous(memory_format=torch.channels_last)

    def _accumulate_loss(self, loss: Tensor, batch_idx: int) -> None:
        """Note the first step whose loss is not finite too, without waiting for a GPU."""
        self._loss_sum += loss
        fresh = (self._first_bad < 0) & ~torch.isfinite(loss)
        self._first_bad = torch.where(fresh, batch_idx, self._first_bad)
        if self.device.type == "cpu":
            self._refuse_bad_loss()

    def _refuse_bad_loss(self) -> None:
        step = int(self._first_bad)
        if step >= 0:
            raise self._diverged(f"the loss is not finite in step {step + 1} of {self.batches}")

    def _epoch_metrics(self) -> Row:
        row = {
            "epoch": self.current_epoch + 1,
            "train/loss": float(self._loss_sum) / self.batches,
            **self.validation.compute(),
            "lr": max(group["lr"] for group in self._optimizer().param_groups),
        }
        if not math.isfinite(row["val/loss"]):
            raise self._diverged(f"the validation loss is {row['val/loss']} after its last step")
        return row

    def _diverged(self, reason: str) -> DivergedError:
        saved = (
            f"the state of epoch {len(self.history)} is saved" if self.history else "no epoch was finished"
        )
        return DivergedError(
            f"training diverged in epoch {self.current_epoch + 1}: {reason} ({saved}). Lower "
            f"train.optimizer.lr={self.train_section.optimizer.lr:g}, or set train.gradient_clip_val, for "
            f"example to 1.0 (now {self.train_section.gradient_clip_val:g})"
        )


def _to_float(images: Tensor) -> Tensor:
    """uint8 to float in 0…1; features that were computed before stay as they are."""
    return images.float() / 255 if images.dtype == torch.uint8 else images
