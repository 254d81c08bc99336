"""Sections ``data``, ``split`` and ``normalize``."""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from src.config.schema.base import Count, Name, Section


class Data(Section):
    """Where the images are and how they become one uint8 array."""

    name: Name  # folder under data/raw, also the MLflow experiment
    source: Literal["idx", "image_folder", "csv"]
    image_size: Annotated[list[Annotated[int, Field(ge=1, le=2048)]], Field(min_length=2, max_length=2)]
    channels: Literal[1, 3]  # 1: grey, 3: RGB
    resize_mode: Literal["pad", "crop", "stretch"]  # how an image of another shape gets there
    on_corrupt: Literal["drop", "fail"]
    on_conflict: Literal["drop", "fail"]  # the same pixels under two labels
    max_pixels: Count  # of one image; more is refused before decoding (decompression bomb)


class Split(Section):
    """Shares of the three splits and the number of folds."""

    val: Annotated[float, Field(gt=0, lt=1)]
    test: Annotated[float, Field(gt=0, lt=1)]
    folds: Annotated[int, Field(ge=2)]
    near_duplicate: Annotated[float, Field(gt=0, le=1)]  # correlation of thumbnails

    @field_validator("test")
    @classmethod
    def _leave_some_to_train(cls, test: float, before: ValidationInfo) -> float:
        val = before.data.get("val", 0)
        if val + test >= 1:
            raise ValueError(f"val + test must be below 1, but got {val} + {test}")
        return test


class Normalize(Section):
    """Which statistics of the training pixels shift and scale the input."""

    method: Literal["standard", "minmax", "none"]
