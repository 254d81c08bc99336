"""Section ``train``."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue, ValidationInfo, field_validator

from src.config.schema.base import Count, NotNegative, Positive, Section
from src.core.metric_names import MONITORED


class Optimizer(Section):
    name: Literal["sgd", "adam", "adamw", "rmsprop"]
    lr: Positive
    weight_decay: NotNegative
    momentum: Annotated[float, Field(ge=0, lt=1)]  # of sgd (Nesterov) and rmsprop


class Schedule(Section):
    """How the learning rate changes during a training."""

    name: Literal["constant", "cosine", "step", "plateau", "one_cycle"]
    warmup: Annotated[float, Field(ge=0, lt=1)]  # share of the training in which the rate rises
    step_epochs: Count  # of step: epochs between drops
    gamma: Annotated[float, Field(gt=0, lt=1)]  # of step and plateau: factor of a drop
    patience: Annotated[int, Field(ge=0)]  # of plateau: epochs without progress before a drop


class CallbackConfig(Section):
    """A Lightning callback, from ``src.training.callbacks`` or from a package in requirements.lock."""

    class_path: Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$")]
    init_args: Annotated[dict[str, JsonValue], Field(default_factory=dict)]


class Train(Section):
    """One training."""

    epochs: Count
    batch_size: Count
    optimizer: Optimizer
    schedule: Schedule
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    gradient_clip_val: NotNegative  # of the gradient; 0: no clipping
    ema_decay: Annotated[float, Field(ge=0, lt=1)]  # per step; 0: no weight averaging
    patience: Annotated[int, Field(ge=0)]  # epochs without progress before stopping; 0: never
    monitor: str  # one of MONITORED; decides the best epoch
    precision: Literal["auto", "fp32", "bf16"]
    threads: Literal["auto"] | Count
    callbacks: list[CallbackConfig]

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

    @field_validator("monitor")
    @classmethod
    def _is_measured(cls, monitor: str) -> str:
        if monitor not in MONITORED:
            raise ValueError(f"must be one of {', '.join(MONITORED)}, but got {monitor}")
        return monitor
