"""Section ``augment``."""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from src.config.schema.base import Count, Fraction, Positive, Section


class Crop(Section):
    """Shift by padding and cropping back."""

    name: Literal["crop"] = Field(description="Shift by padding and cropping back")
    padding: Count = Field(description="Pixels on each side")


class Flip(Section):
    name: Literal["flip"] = Field(description="Mirror")
    axis: Literal["horizontal", "vertical"] = Field(description="Along which axis")
    p: Fraction = Field(description="Probability")


class Rotate(Section):
    name: Literal["rotate"] = Field(description="Rotate")
    degrees: Annotated[float, Field(gt=0, le=180)] = Field(description="Largest angle, either way")


class Scale(Section):
    name: Literal["scale"] = Field(description="Zoom")
    low: Positive = Field(description="Smallest factor")
    high: Positive = Field(description="Largest factor")

    @field_validator("high")
    @classmethod
    def _ordered(cls, high: float, before: ValidationInfo) -> float:
        low = before.data.get("low", high)
        if low > high:
            raise ValueError(f"must be at least low={low}, but got {high}")
        return high


class Translate(Section):
    name: Literal["translate"] = Field(description="Shift")
    fraction: Annotated[float, Field(gt=0, lt=1)] = Field(description="Largest shift, as a share of the side")


class Shear(Section):
    name: Literal["shear"] = Field(description="Shear")
    degrees: Annotated[float, Field(gt=0, lt=90)] = Field(description="Largest angle, either way")


class Erase(Section):
    """Random erasing (Zhong et al., 2020)."""

    name: Literal["erase"] = Field(description="Erase a rectangle")
    p: Fraction = Field(description="Probability")
    area: Annotated[float, Field(gt=0, lt=1)] = Field(description="Largest share of the image")


class Jitter(Section):
    """Brightness, contrast, saturation: a factor in 1 - strength … 1 + strength."""

    name: Literal["brightness", "contrast", "saturation"] = Field(description="Change the light")
    strength: Fraction = Field(description="The factor is within 1 ± strength")


class Hue(Section):
    name: Literal["hue"] = Field(description="Change the hue")
    strength: Annotated[float, Field(gt=0, le=0.5)] = Field(
        description="Largest change, as a share of the color circle"
    )


class Noise(Section):
    name: Literal["noise"] = Field(description="Add Gaussian noise")
    std: Positive = Field(description="Standard deviation, of pixels in 0…1")
    p: Fraction = Field(description="Probability")


class Blur(Section):
    name: Literal["blur"] = Field(description="Blur")
    sigma: Positive = Field(description="Largest standard deviation, pixels")
    p: Fraction = Field(description="Probability")


Operation = Annotated[
    Crop | Flip | Rotate | Scale | Translate | Shear | Erase | Jitter | Hue | Noise | Blur,
    Field(discriminator="name"),
]


class Augment(Section):
    """Random changes of a training batch, in this order."""

    operations: list[Operation] = Field(description="Operations on a training batch, in this order")
