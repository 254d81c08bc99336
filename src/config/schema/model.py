"""Section ``model``."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from src.config.schema.base import Count, Positive, Section

IMAGENET = "imagenet"
Activation = Literal["relu", "leaky_relu", "tanh", "sigmoid", "gelu", "silu"]
Dropout = Annotated[float, Field(ge=0, lt=1)]
Stem = Literal["auto", "standard", "small"]
STEM = (
    "First layers; small: at full resolution, as for CIFAR (3×3 at stride 1 without max pooling, or small "
    "patches); standard: as published for 224 pixels; auto: small for sides of 64 pixels or fewer"
)
UNITS = "Units of each hidden layer"
PENALTY = "Inverse strength of the L2 penalty"


class Network(Section):
    """What all networks have."""

    weights: str | None = Field(
        default=None,  # a model.json of before 0.3 lacks it
        description="Start from imagenet (timm's weights) or a file in data/weights; null: random weights",
    )

    @field_validator("weights")
    @classmethod
    def _is_a_name(cls, weights: str | None) -> str | None:
        if weights is None or not set(weights) & {"/", "\\"}:
            return weights
        if weights.startswith("models:/"):
            raise ValueError(
                f"must be a file in data/weights; python -m src.compose model.weights={weights} fetches it "
                "and writes its name into params.yaml, python -m src.fetch only fetches it"
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
    dropout: Dropout = Field(description="Share dropped before the classifier")


class PlainCnn(Network):
    """The textbook's CNN: blocks of convolution, activation and pooling, then fully connected layers."""

    kind: Literal["plain_cnn"] = Field(description="The network")
    widths: Annotated[list[Count], Field(min_length=1)] = Field(description="Channels of each block")
    kernel_size: Count = Field(description="Pixels")
    stride: Count = Field(description="Pixels between two positions of a kernel")
    padding: Annotated[int, Field(ge=0)] = Field(description="Pixels of zeros on each side")
    activation: Activation = Field(description="Activation function")
    pooling: Literal["max", "avg", "none"] = Field(description="2×2 pooling at the end of a block")
    batch_norm: bool = Field(description="Batch normalization after each convolution")
    hidden: list[Count] = Field(description=UNITS)
    dropout: Dropout = Field(description="Share dropped before each fully connected layer")


class Mlp(Network):
    """A multilayer perceptron on the pixels."""

    kind: Literal["mlp"] = Field(description="The network")
    hidden: Annotated[list[Count], Field(min_length=1)] = Field(description=UNITS)
    activation: Activation = Field(description="Activation function")
    dropout: Dropout = Field(description="Share dropped after each hidden layer")


class Rnn(Network):
    """A recurrent network that reads an image row by row, from the top."""

    kind: Literal["rnn"] = Field(description="The network")
    cell: Literal["rnn", "lstm", "gru"] = Field(description="Recurrent layer")
    units: Count = Field(description="Units of each layer and direction")
    layers: Count = Field(description="Recurrent layers, one on top of the other")
    bidirectional: bool = Field(description="Also read the rows from the bottom")
    dropout: Dropout = Field(description="Share dropped after each layer")


class Lenet(Network):
    """LeNet-5 (LeCun et al., 1998)."""

    kind: Literal["lenet"] = Field(description="The network")
    activation: Literal["tanh", "relu"] = Field(description="Activation function")
    dropout: Dropout = Field(description="Share dropped before the classifier")


class Backbone(Network):
    """A network of timm, adapted to the channels of the images."""

    name: Annotated[str, Field(min_length=1)] = Field(description="Name of a timm model, such as resnet18")
    stem: Stem = Field(description=STEM)


class Timm(Backbone):
    """Any model of timm, adapted to the channels and classes at hand."""

    kind: Literal["timm"] = Field(description="The network")
    dropout: Dropout = Field(description="Share dropped before the classifier")
    drop_path: Annotated[float, Field(ge=0, lt=1)] = Field(
        description="Share of residual branches dropped in the last block, fewer before it (stochastic depth)"
    )


class FeatureModel(Backbone):
    """A classical classifier on the features of a pretrained network, whose weights do not change."""

    kind: str = Field(description="The network and its head")


class LinearProbe(FeatureModel):
    """Logistic regression (scikit-learn, L-BFGS) on the features of a pretrained network."""

    kind: Literal["linear_probe"] = Field(description="The network and its head")
    C: Positive = Field(description=PENALTY)


class Svm(FeatureModel):
    """A support vector machine (libsvm) for each class against the rest, on features."""

    kind: Literal["svm"] = Field(description="The network and its head")
    C: Positive = Field(description=PENALTY)
    kernel: Literal["linear", "rbf", "poly"] = Field(description="Kernel; poly: of degree 3")
    gamma: Literal["scale"] | Positive = Field(
        description="Of rbf and poly; scale: 1 / (features × their variance)"
    )


class Knn(FeatureModel):
    """The k nearest training images by their features."""

    kind: Literal["knn"] = Field(description="The network and its head")
    k: Count = Field(description="Neighbors that vote")
    metric: Literal["cosine", "euclidean"] = Field(description="Distance between features")
    vote: Literal["uniform", "distance"] = Field(
        description="What a neighbor counts; uniform: 1; distance: 1 / distance"
    )


class Torchvision(Network):
    """A network of torchvision that timm does not have, without pretrained weights."""

    kind: Literal["torchvision"] = Field(description="The network")
    name: Literal[
        "alexnet",
        "googlenet",
        "squeezenet1_0",
        "squeezenet1_1",
        "shufflenet_v2_x0_5",
        "shufflenet_v2_x1_0",
        "shufflenet_v2_x1_5",
        "shufflenet_v2_x2_0",
    ] = Field(description="Name in torchvision")
    stem: Stem = Field(description=STEM)
    dropout: Dropout = Field(description="Share dropped before the classifier (alexnet: in it, twice)")


ModelConfig = Annotated[
    Cnn | PlainCnn | Mlp | Rnn | Lenet | Timm | Torchvision | LinearProbe | Svm | Knn,
    Field(discriminator="kind"),
]
