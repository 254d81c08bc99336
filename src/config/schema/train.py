"""Section ``train``."""

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from src.config.schema.base import Count, NotNegative, Positive, Section
from src.config.schema.optimizers import OPTIMIZERS, PORTABLE
from src.config.suggestions import did_you_mean
from src.core.metric_names import MONITORED, is_listed

CLASS_PATH = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$"


class Optimizer(Section):
    """The optimizer of a training; norms and biases get no weight decay."""

    name: str = Field(description="Optimizer: any of timm's, such as sgd, adam, adamw, rmsprop, lion, lamb")
    lr: Positive = Field(description="Peak learning rate")
    weight_decay: NotNegative = Field(description="Weight decay")
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(
        description="Momentum of sgd (Nesterov) and others that have one, such as rmsprop; the rest ignore it"
    )
    options: dict[str, Any] = Field(
        description="More arguments of the optimizer, such as {betas: [0.9, 0.95], eps: 1.0e-06}; {}: none"
    )

    @field_validator("name")
    @classmethod
    def _exists(cls, name: str) -> str:
        if name not in OPTIMIZERS:
            raise ValueError(
                f"must be one of {', '.join(OPTIMIZERS)}, but got {name}{did_you_mean(name, OPTIMIZERS)}"
            )
        return name


class Loss(Section):
    """What a training minimizes; validation reports cross-entropy whatever it is."""

    name: Literal["cross_entropy", "binary_cross_entropy", "mean_squared_error", "focal"] = Field(
        description="Loss; binary_cross_entropy and mean_squared_error compare with one-hot targets"
    )
    gamma: NotNegative = Field(
        description="Of focal: how little images count that are classified well; 0: cross-entropy"
    )


class Schedule(Section):
    """How the learning rate changes during a training."""

    name: Literal["constant", "cosine", "step", "plateau", "one_cycle"] = Field(description="Schedule")
    warmup: Annotated[float, Field(ge=0, lt=1)] = Field(
        description="Share of the training in which the learning rate rises to its peak"
    )
    step_epochs: Count = Field(description="Epochs between two drops, for step")
    gamma: Annotated[float, Field(gt=0, lt=1)] = Field(description="Factor of a drop, for step and plateau")
    patience: Annotated[int, Field(ge=0)] = Field(
        description="Epochs without improvement before a drop, for plateau"
    )


class TransferLearning(Section):
    """Which parts of a network are trained, where ``model.weights`` names weights to start from."""

    layers: Literal["all", "head", "last", "gradual"] = Field(
        description="all; head: the rest keeps its weights; last: the head and some stages; gradual: the "
        "head first, then more and more"
    )
    stages: Count = Field(description="Stages below the head that are trained, for last")
    unfreeze_epochs: list[Count] = Field(
        description="Epochs (1 is the first) from which one stage more is trained, for gradual"
    )
    layer_decay: Annotated[float, Field(gt=0, le=1)] = Field(
        description="Factor of the learning rate from each layer to the one below it; 1: one rate for all"
    )


class CallbackConfig(Section):
    """A Lightning callback, from ``src.training.callbacks`` or from a package in requirements.lock."""

    class_path: Annotated[str, Field(pattern=CLASS_PATH)] = Field(
        description="Module and class, such as src.training.callbacks.GradientNorm"
    )
    init_args: dict[str, Any] = Field(default_factory=dict, description="Arguments of the class")


class Train(Section):
    """One training."""

    epochs: Count = Field(description="Epochs at most")
    batch_size: Count = Field(description="Images per batch")
    accumulate_grad_batches: Count = Field(description="Batches whose mean gradient makes one step")
    sampler: Literal["shuffle", "balanced"] = Field(
        description="Images of an epoch; shuffle: each one once; balanced: as many of each class, so that "
        "those of rare classes come several times"
    )
    optimizer: Optimizer
    schedule: Schedule
    loss: Loss
    class_weights: Literal["none", "balanced", "effective_number"] | dict[str | int, NotNegative] = Field(
        description="Weight of an image in the loss, by its class; balanced: inverse to the number of "
        "training images; effective_number: Cui et al., 2019; or {class: weight}, where other classes have 1"
    )
    class_weights_beta: Annotated[float, Field(gt=0, lt=1)] = Field(
        description="Of effective_number: share of an image that the images before it have shown already"
    )
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = Field(
        description="Share spread over all classes, with cross_entropy and binary_cross_entropy"
    )
    mixup: NotNegative = Field(description="alpha of mixup (Zhang et al., 2018); 0: none")
    cutmix: NotNegative = Field(
        description="alpha of CutMix (Yun et al., 2019); 0: none; with mixup each batch gets one of the two"
    )
    l1: NotNegative = Field(description="L1 penalty of the weights; norms and biases have none")
    gradient_clip_val: NotNegative = Field(description="Largest norm of the gradient; 0: no clipping")
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = Field(
        description="Decay per step of the averaged weights; 0: no averaging"
    )
    swa_start: Annotated[float, Field(ge=0, lt=1)] = Field(
        description="Share of the training after which the weights of the epochs are averaged with a "
        "constant learning rate (Izmailov et al., 2018); 0: no averaging"
    )
    patience: Annotated[int, Field(ge=0)] = Field(
        description="Epochs without improvement before training stops; 0: never"
    )
    monitor: str = Field(
        description="Metric of the validation images that decides which epoch is kept, such as val/accuracy, "
        "val/loss, val/balanced_accuracy, val/f1_macro, val/recall_min, val/recall/CLASS"
    )
    precision: Literal["auto", "fp32", "bf16", "fp16", "portable"] = Field(
        description="Arithmetic; auto: bf16 where it is faster; fp16: on a GPU only; portable: fp32 with the "
        "same bytes on any x86-64 CPU with AVX2, which takes one thread (docs/portable.md)"
    )
    threads: Literal["auto"] | Count = Field(
        description="Computing threads; changes the bytes of the result; auto: all cores, or 1 with "
        "precision=portable"
    )
    finetune: TransferLearning
    temperature_scaling: bool = Field(
        description="Divide the logits by a temperature, so that probabilities mean what they say; no "
        "prediction changes. Fitted to the images of split.calibration, else to those of validation"
    )
    callbacks: list[CallbackConfig] = Field(description="More Lightning callbacks, run in this order")

    @field_validator("class_weights")
    @classmethod
    def _balances_once(cls, weights: str | dict[Any, float], before: ValidationInfo) -> Any:
        if before.data.get("sampler") == "balanced" and weights in ("balanced", "effective_number"):
            raise ValueError(
                f"must be none with train.sampler=balanced, which makes up for rare classes already, but got "
                f"{weights}"
            )
        return weights if isinstance(weights, str) else {str(name): each for name, each in weights.items()}

    @field_validator("swa_start")
    @classmethod
    def _averages_once(cls, start: float, before: ValidationInfo) -> float:
        if start and before.data.get("ema_decay"):
            raise ValueError(
                f"must be 0 with train.ema_decay, which averages the weights too, but got {start:g}"
            )
        return start

    @field_validator("patience")
    @classmethod
    def _one_cycle_runs_to_its_end(cls, patience: int, before: ValidationInfo) -> int:
        schedule = before.data.get("schedule")
        if patience and schedule is not None and schedule.name == "one_cycle":
            raise ValueError(
                "must be 0 with train.schedule.name=one_cycle, which has to run to its end, "
                f"but got {patience}"
            )
        return patience

    @field_validator("precision")
    @classmethod
    def _portable_has_exact_roots(cls, precision: str, before: ValidationInfo) -> str:
        optimizer = before.data.get("optimizer")
        if precision == "portable" and optimizer is not None and optimizer.name not in PORTABLE:
            raise ValueError(
                f"cannot be portable with train.optimizer.name={optimizer.name}, which differs by CPU or has "
                f"not been compared: take {', '.join(PORTABLE)}"
            )
        return precision

    @field_validator("threads")
    @classmethod
    def _portable_has_one(cls, threads: str | int, before: ValidationInfo) -> str | int:
        if before.data.get("precision") == "portable" and threads not in ("auto", 1):
            raise ValueError(f"must be auto or 1 with train.precision=portable, but got {threads}")
        return threads

    @field_validator("monitor")
    @classmethod
    def _is_measured(cls, monitor: str) -> str:
        if not is_listed(monitor, MONITORED):
            near = did_you_mean(monitor, MONITORED)
            raise ValueError(f"must be one of {', '.join(MONITORED)}, but got {monitor}{near}")
        return monitor
