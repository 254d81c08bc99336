"""Section ``debug``, which only an ad-hoc run of ``train`` can have: params.yaml never holds it."""

from typing import Annotated, Literal

from pydantic import Field

from src.config.schema.base import Count, Section, Share


class OneBatch(Section):
    """One training and one validation batch, one epoch."""

    kind: Literal["one_batch"] = Field(description="Does everything run?")


class Overfit(Section):
    """A few images, which the network should memorize."""

    kind: Literal["overfit"] = Field(description="Can the network memorize a few images?")
    images: Count = Field(description="Images of each class")
    epochs: Count = Field(description="Epochs at most; each shows every image ten times")


class SmallData(Section):
    """The whole training on a part of the images."""

    kind: Literal["small_data"] = Field(description="How does the training do in a short time?")
    share: Share = Field(description="Share of the training and validation images of each class")


class Anomaly(Section):
    """The whole training, with autograd's anomaly detection."""

    kind: Literal["anomaly"] = Field(description="In which layer does the first NaN arise?")


class Profile(Section):
    """Some timed steps."""

    kind: Literal["profile"] = Field(description="Where does the time go?")
    steps: int = Field(ge=2, description="Approximate number of training steps to measure")


Debug = Annotated[OneBatch | Overfit | SmallData | Anomaly | Profile, Field(discriminator="kind")]
