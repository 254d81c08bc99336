"""Names the layer in which the first NaN or infinite value arose."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from src.core.errors import AssayError

BY_AUTOGRAD = "returned nan values"  # torch's words
ADVICE = (
    "Usual causes: train.optimizer.lr is too high (python -m src.find_lr), gradients explode "
    "(train.gradient_clip_val=1.0), or the numbers of train.precision=fp16 end at 65,504 (take bf16)"
)


class AnomalyLocator(pl.Callback):
    """Stops a training at the first value that is not finite, forwards or backwards.

    Forwards it looks at what each layer gives. Backwards autograd's anomaly detection finds the NaN
    (``Trainer(detect_anomaly=True)``), and the layer is the last one whose backward pass has begun: what lies
    between it and the layer before counts as a part of it.
    """

    def __init__(self) -> None:
        self.step = 0
        self.entered: str | None = None  # the layer whose backward pass has begun last
        self.handles: list[RemovableHandle] = []

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        network: Any = pl_module.network
        for name, part in network.named_modules():
            if not list(part.children()):
                self.handles.append(part.register_forward_hook(self._watch(trainer, name)))

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.step, self.entered = batch_idx + 1, None

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        self.on_fit_end(trainer, pl_module)
        if isinstance(exception, RuntimeError) and BY_AUTOGRAD in str(exception):
            place = f"the backward pass of layer {self.entered}" if self.entered else "the loss"
            raise AssayError(
                f"the first gradient that is NaN arose in {place}, {self._when(trainer)}: {exception} "
                f"{ADVICE}"
            ) from exception

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for handle in self.handles:
            handle.remove()

    def _watch(self, trainer: pl.Trainer, name: str) -> Any:
        def look(part: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            found = [value for value in _tensors(output) if not torch.isfinite(value).all()]
            if found:
                raise AssayError(
                    f"the first value that is not finite came out of layer {name} ({part}), "
                    f"{self._when(trainer)}: {_cause(part, inputs)}. {ADVICE}"
                )
            for value in _tensors(output):
                if value.grad_fn is not None:
                    value.grad_fn.register_prehook(lambda _: self._enter(name))

        return look

    def _enter(self, name: str) -> None:
        self.entered = name

    def _when(self, trainer: pl.Trainer) -> str:
        place = "the validation after step" if trainer.validating else "step"
        return f"in {place} {self.step} of epoch {trainer.current_epoch + 1}"


def _tensors(output: Any) -> list[Tensor]:
    """Of a layer's output: recurrent layers give several, some in tuples."""
    if isinstance(output, Tensor):
        return [output]
    return [value for each in output for value in _tensors(each)] if isinstance(output, tuple) else []


def _cause(part: nn.Module, inputs: tuple[Any, ...]) -> str:
    """What is known of the layer that gave it."""
    weights = [weight for weight in part.parameters() if not torch.isfinite(weight).all()]
    if weights:
        return "its weights are not finite, so the step before has gone wrong"
    values = [value for value in _tensors(inputs) if value.is_floating_point()]
    if not all(bool(torch.isfinite(value).all()) for value in values):
        return "its input is not finite either, so it arose between the layers, or in the images"
    largest = max((float(value.detach().abs().max()) for value in values), default=0.0)
    own = max((float(weight.detach().abs().max()) for weight in part.parameters()), default=0.0)
    return f"its input is finite (largest {largest:.3g}), and so are its weights (largest {own:.3g})"
