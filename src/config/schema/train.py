"""Section ``train``."""

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from src.config.schema.base import Count, NotNegative, Positive, Section
from src.core.metric_names import MONITORED


class Optimizer(Section):
    """The optimizer of a training; norms and biases get no weight decay."""

    name: Literal["sgd", "adam", "adamw", "rmsprop"] = Field(description="Optimizer")
    lr: Positive = Field(description="Peak learning rate")
    weight_decay: NotNegative = Field(description="Weight decay")
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(
        description="Momentum of sgd (Nesterov) and rmsprop; the others ignore it"
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

    class_path: Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$")] = Field(
        description="Module and class, such as src.training.callbacks.GradientNorm"
    )
    init_args: dict[str, Any] = Field(default_factory=dict, description="Arguments of the class")


class Train(Section):
    """One training."""

    epochs: Count = Field(description="Epochs at most")
    batch_size: Count = Field(description="Images per step")
    optimizer: Optimizer
    schedule: Schedule
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = Field(description="Share spread over all classes")
    gradient_clip_val: NotNegative = Field(description="Largest norm of the gradient; 0: no clipping")
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = Field(
        description="Decay per step of the averaged weights; 0: no averaging"
    )
    patience: Annotated[int, Field(ge=0)] = Field(
        description="Epochs without improvement before training stops; 0: never"
    )
    monitor: str = Field(description=f"Metric that decides which epoch is kept: {' or '.join(MONITORED)}")
    precision: Literal["auto", "fp32", "bf16", "portable"] = Field(
        description="Arithmetic; auto: bf16 where it is faster; portable: fp32 with the same bytes on any "
        "x86-64 CPU with AVX2, which takes one thread (docs/portable.md)"
    )
    threads: Literal["auto"] | Count = Field(
        description="Computing threads; changes the bytes of the result; auto: all cores, or 1 with "
        "precision=portable"
    )
    finetune: TransferLearning
    temperature_scaling: bool = Field(
        description="Divide the logits by a temperature fitted to the validation images, so that "
        "probabilities mean what they say; no prediction changes"
    )
    callbacks: list[CallbackConfig] = Field(description="More Lightning callbacks, run in this order")

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
        if precision == "portable" and optimizer is not None and optimizer.name == "rmsprop":
            raise ValueError(
                "cannot be portable with train.optimizer.name=rmsprop, whose square roots differ by CPU: "
                "take sgd, adam or adamw"
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
        if monitor not in MONITORED:
            raise ValueError(f"must be one of {', '.join(MONITORED)}, but got {monitor}")
        return monitor
