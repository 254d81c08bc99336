"""Section ``debug``, which only an ad-hoc run of ``train`` can have: params.yaml never holds it."""

from typing import Annotated, Literal

from pydantic import Field

from src.config.schema.base import Count, Section, Share


class OneBatch(Section):
    """One training and one validation batch, one epoch."""

    kind: Literal["one_batch"] = Field(description="Does everything run?")


class Overfit(Section):
    """A few images, learned by heart."""

    kind: Literal["overfit"] = Field(description="Can the network learn a few images by heart?")
    images: Count = Field(description="Images of each class")
    epochs: Count = Field(description="Epochs at most; each shows every image ten times")


class SmallData(Section):
    """The whole training on a part of the images."""

    kind: Literal["small_data"] = Field(description="How does the training go, in little time?")
    share: Share = Field(description="Share of the training and validation images of each class")


class Anomaly(Section):
    """The whole training, with autograd's anomaly detection."""

    kind: Literal["anomaly"] = Field(description="In which layer does the first NaN arise?")


class Profile(Section):
    """Some steps with a clock."""

    kind: Literal["profile"] = Field(description="Where does the time go?")
    steps: int = Field(ge=2, description="Training steps that are measured, about so many")


Debug = Annotated[OneBatch | Overfit | SmallData | Anomaly | Profile, Field(discriminator="kind")]
