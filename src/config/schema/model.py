"""Section ``model``."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from src.config.schema.base import Count, Section

IMAGENET = "imagenet"


class Network(Section):
    """What all networks have."""

    weights: str | None = Field(
        description="Start from imagenet (timm's weights) or a file in data/weights; null: random weights"
    )

    @field_validator("weights")
    @classmethod
    def _is_a_name(cls, weights: str | None) -> str | None:
        if weights is None or not set(weights) & {"/", "\\"}:
            return weights
        if weights.startswith("models:/"):
            raise ValueError(
                f"must be a file in data/weights, which python -m src.fetch {weights} makes and names"
            )
        raise ValueError(f"must be the name of a file in data/weights, but got {weights}: put the file there")


class Cnn(Network):
    """A small residual CNN; each width is a stage at half the resolution of the one before."""

    kind: Literal["cnn"] = Field(description="The network")
    widths: Annotated[list[Count], Field(min_length=1)] = Field(
        description="Channels of each stage; each stage halves the resolution"
    )
    kernel_size: Literal[1, 3, 5, 7] = Field(description="Pixels")
    activation: Literal["relu", "leaky_relu", "gelu", "silu"] = Field(description="Activation function")
    pooling: Literal["max", "avg", "stride"] = Field(description="How a stage halves the resolution")
    batch_norm: bool = Field(description="Batch normalization after each convolution")
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(description="Share dropped before the classifier")


class Lenet(Network):
    """LeNet-5 (LeCun et al., 1998)."""

    kind: Literal["lenet"] = Field(description="The network")
    activation: Literal["tanh", "relu"] = Field(description="Activation function")
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(description="Share dropped before the classifier")


class Timm(Network):
    """Any model of timm, adapted to the channels and classes at hand."""

    kind: Literal["timm"] = Field(description="The network")
    name: Annotated[str, Field(min_length=1)] = Field(description="Name of a timm model, such as resnet18")
    small_input: bool = Field(
        description="Keep the resolution in the stem, for images of about 64 pixels or fewer"
    )
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(description="Share dropped before the classifier")


ModelConfig = Annotated[Cnn | Lenet | Timm, Field(discriminator="kind")]
