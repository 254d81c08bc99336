"""Section ``augment``."""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from src.config.schema.base import Count, Fraction, Positive, Section


class Crop(Section):
    """Shift by padding and cropping back."""

    name: Literal["crop"]
    padding: Count  # pixels on each side


class Flip(Section):
    name: Literal["flip"]
    axis: Literal["horizontal", "vertical"]
    p: Fraction


class Rotate(Section):
    name: Literal["rotate"]
    degrees: Annotated[float, Field(gt=0, le=180)]  # up to, either way


class Scale(Section):
    name: Literal["scale"]
    low: Positive  # factors
    high: Positive

    @field_validator("high")
    @classmethod
    def _ordered(cls, high: float, before: ValidationInfo) -> float:
        low = before.data.get("low", high)
        if low > high:
            raise ValueError(f"must be at least low={low}, but got {high}")
        return high


class Translate(Section):
    name: Literal["translate"]
    fraction: Annotated[float, Field(gt=0, lt=1)]  # of the side, up to


class Shear(Section):
    name: Literal["shear"]
    degrees: Annotated[float, Field(gt=0, lt=90)]  # up to, either way


class Erase(Section):
    """Random erasing (Zhong et al., 2020)."""

    name: Literal["erase"]
    p: Fraction
    area: Annotated[float, Field(gt=0, lt=1)]  # share of the image, up to


class Jitter(Section):
    """Brightness, contrast, saturation: a factor in 1 - strength … 1 + strength."""

    name: Literal["brightness", "contrast", "saturation"]
    strength: Fraction


class Hue(Section):
    name: Literal["hue"]
    strength: Annotated[float, Field(gt=0, le=0.5)]  # share of the colour circle, either way


class Noise(Section):
    name: Literal["noise"]
    std: Positive  # of pixels in 0…1
    p: Fraction


class Blur(Section):
    name: Literal["blur"]
    sigma: Positive  # pixels, up to
    p: Fraction


Operation = Annotated[
    Crop | Flip | Rotate | Scale | Translate | Shear | Erase | Jitter | Hue | Noise | Blur,
    Field(discriminator="name"),
]


class Augment(Section):
    """Random changes of a training batch, in this order."""

    operations: list[Operation]
