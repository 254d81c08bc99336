"""Section ``model``."""

from typing import Annotated, Literal

from pydantic import Field

from src.config.schema.base import Count, Section


class Cnn(Section):
    """A small residual CNN; each width is a stage at half the resolution of the one before."""

    kind: Literal["cnn"]
    widths: Annotated[list[Count], Field(min_length=1)]
    kernel_size: Literal[1, 3, 5, 7]
    activation: Literal["relu", "leaky_relu", "gelu", "silu"]
    pooling: Literal["max", "avg", "stride"]
    batch_norm: bool
    dropout: Annotated[float, Field(ge=0, lt=1)]


class Lenet(Section):
    """LeNet-5 (LeCun et al., 1998)."""

    kind: Literal["lenet"]
    activation: Literal["tanh", "relu"]
    dropout: Annotated[float, Field(ge=0, lt=1)]


class Timm(Section):
    """Any model of timm, adapted to the channels and classes at hand."""

    kind: Literal["timm"]
    name: Annotated[str, Field(min_length=1)]
    pretrained: bool
    small_input: bool  # keep the resolution in the stem
    dropout: Annotated[float, Field(ge=0, lt=1)]


ModelConfig = Annotated[Cnn | Lenet | Timm, Field(discriminator="kind")]
