"""Which images decided what, stated with every decision: a chosen metric is no test result."""

from collections.abc import Sequence
from dataclasses import dataclass

from src.config.schema import Config
from src.config.schema.evaluate import is_fitted
from src.core.files import read_json
from src.pipeline.paths import SPLIT


@dataclass(frozen=True)
class ImageRole:
    """The images of one split."""

    split: str
    images: int
    decided: Sequence[str]  # empty: nothing


def image_roles(config: Config) -> list[ImageRole]:
    """What the images of each split decided on the way from the data to the champion."""
    parts = read_json(SPLIT / "report.json")["splits"]
    fitted, apart = _fitted(config), "calibration" in parts
    decided = {
        "train": _by_training_images(config),
        "val": _by_validation_images(config, [] if apart else fitted),
        **({"calibration": fitted} if apart else {}),
        "test": [],
    }
    return [ImageRole(split, parts[split]["images"], what) for split, what in decided.items()]


def _by_training_images(config: Config) -> list[str]:
    searched = ["with the validation images, the trials of the sweep"] if _uses_folds(config) else []
    return ["the weights", "the normalization", "the ranges of int8", *searched]


def _by_validation_images(config: Config, fitted: Sequence[str]) -> list[str]:
    searches = config.sweep.method != "none" and not _uses_folds(config)
    return [
        *(["the trials of the sweep"] if searches else []),
        "the epoch of the base",
        *fitted,
        "whether an exported model agrees with its source",
        "the variant",
        "the promotion",
    ]


def _fitted(config: Config) -> list[str]:
    """What is fitted to images that were set apart, if there are any."""
    return [
        *(["the temperature of the probabilities"] if config.train.temperature_scaling else []),
        *(["the decision rule"] if is_fitted(config.evaluate.decision) else []),
    ]


def _uses_folds(config: Config) -> bool:
    return config.sweep.method != "none" and config.sweep.folds > 0
