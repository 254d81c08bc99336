"""Section ``machine``: what changes no result."""

from typing import Annotated, Literal

from pydantic import Field

from src.config.schema.base import Count, Section

DEVICE = r"^(auto|cpu|cuda(:\d+)?)$"


class Machine(Section):
    """What does not change the result. No stage tracks it."""

    device: Annotated[str, Field(pattern=DEVICE)] = Field(
        description="Where to train: auto, cpu, cuda or cuda:N"
    )
    num_workers: Literal["auto"] | Count = Field(description="Processes that decode images; auto: all cores")
    progress: bool = Field(description="Draw progress bars; in a log, a line every half minute")
    loggers: list[Literal["csv", "tensorboard", "wandb"]] = Field(
        description="Lightning loggers of the stage train: csv, tensorboard, wandb"
    )
