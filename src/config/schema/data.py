"""Sections ``data``, ``split`` and ``normalize``."""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from src.config.schema.base import Count, Name, Section


class Data(Section):
    """Where the images are and how they become one uint8 array."""

    name: Name = Field(description="Folder below data/raw; also the MLflow experiment")
    source: Literal["idx", "image_folder", "csv"] = Field(
        description="Form of the files: idx, a folder per class, or labels.csv with paths"
    )
    image_size: Annotated[list[Annotated[int, Field(ge=1, le=2048)]], Field(min_length=2, max_length=2)] = (
        Field(description="Height and width, pixels")
    )
    channels: Literal[1, 3] = Field(description="1: gray, 3: RGB")
    resize_mode: Literal["pad", "crop", "stretch"] = Field(
        description="How an image of another shape is fitted: pad, crop the middle, or stretch"
    )
    subject: str | None = Field(
        description="Person, animal or place on an image: a column of labels.csv or a pattern in the path"
    )
    near_duplicates: Literal["group", "keep", "drop"] = Field(
        description="Near copies: on one side of every split and fold, only reported, or one of each kept"
    )
    near_threshold: Annotated[float, Field(gt=0, le=1)] = Field(
        description="Correlation of thumbnails from which two images are near copies"
    )
    pad: Literal["black", "white", "edge", "mean"] = Field(
        description="What resize_mode=pad adds: black, white, the pixels at the edge, or the mean color"
    )
    on_corrupt: Literal["drop", "fail"] = Field(description="What to do with an image that cannot be read")
    on_conflict: Literal["drop", "fail"] = Field(description="What to do with equal pixels under two labels")
    max_pixels: Count = Field(
        description="Pixels of one image; a larger one is refused before it is decoded (decompression bomb)"
    )


class Split(Section):
    """Shares of the three splits and the number of folds."""

    method: Literal["stable", "stratified"] = Field(
        description="stable: new images move no old ones; stratified: exact shares of every class"
    )
    val: Annotated[float, Field(gt=0, lt=1)] = Field(description="Share of all images for validation")
    test: Annotated[float, Field(gt=0, lt=1)] = Field(description="Share of all images for the test")
    calibration: Annotated[float, Field(ge=0, lt=1)] = Field(
        description="Share set apart for the temperature and the decision rule; 0: validation images fit them"
    )
    folds: Annotated[int, Field(ge=2)] = Field(description="Folds of train + validation, for cross_validate")
    rare: Literal["refuse", "train", "drop"] = Field(
        description="A class too small to be divided: stop, do not hold it out, or leave it out"
    )

    @field_validator("test")
    @classmethod
    def _leave_some_to_train(cls, test: float, before: ValidationInfo) -> float:
        val = before.data.get("val", 0)
        if val + test >= 1:
            raise ValueError(f"val + test must be below 1, but got {val} + {test}")
        return test

    @field_validator("calibration")
    @classmethod
    def _leave_some_of_the_rest(cls, calibration: float, before: ValidationInfo) -> float:
        val, test = (before.data.get(name, 0) for name in ("val", "test"))
        if val + test < 1 <= val + test + calibration:
            raise ValueError(
                f"val + test + calibration must be below 1, but got {val} + {test} + {calibration}"
            )
        return calibration


class Normalize(Section):
    """Which statistics of the training pixels shift and scale the input."""

    method: Literal["standard", "minmax", "none", "pretrained"] = Field(
        description="standard: (x - mean) / std of the training pixels; minmax: to 0…1; none: pixels / 255; "
        "pretrained: the statistics that model.weights were trained with"
    )
