"""Section ``machine``: what changes no result."""

from typing import Annotated, Literal

from pydantic import Field

from src.config.schema.base import Count, Section


class Machine(Section):
    """What does not change the result. No stage tracks it."""

    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")]
    num_workers: Literal["auto"] | Count  # processes that decode images
    progress: bool
    loggers: list[Literal["csv", "tensorboard", "wandb"]]  # Lightning's, of the stage train
