"""What a configuration may say: one class for each section of ``params.yaml``.

Every field is checked for type and range, unknown keys are refused, and all faults are reported
together (pydantic). A contradiction is reported at the later of the two fields, by a validator that
sees the fields before it; so it is found even while other fields are at fault. Nothing has a default
here: the defaults are in ``conf/``, so that ``params.yaml`` shows everything that decides a result.
"""

from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from src.config.schema.augment import Augment
from src.config.schema.base import Section
from src.config.schema.compress import Compress
from src.config.schema.data import Data, Normalize, Split
from src.config.schema.evaluate import Benchmark, CrossValidate, Evaluate
from src.config.schema.machine import Machine
from src.config.schema.model import ModelConfig
from src.config.schema.register import Register
from src.config.schema.sweep import Sweep
from src.config.schema.train import Train


class Config(Section):
    """A whole configuration, as ``params.yaml`` holds it."""

    seed: Annotated[int, Field(ge=0, lt=2**32)]
    data: Data
    split: Split
    normalize: Normalize
    model: ModelConfig
    augment: Augment
    train: Train
    sweep: Sweep
    cross_validate: CrossValidate
    evaluate: Evaluate
    compress: Compress
    benchmark: Benchmark
    register_: Annotated[Register, Field(alias="register")]
    machine: Machine

    @field_validator("augment")
    @classmethod
    def _colour_has_channels(cls, augment: Augment, before: ValidationInfo) -> Augment:
        data = before.data.get("data")
        colour = [o.name for o in augment.operations if o.name in ("saturation", "hue")]
        if colour and data is not None and data.channels == 1:
            raise ValueError(f"operations {', '.join(colour)} need colour, but data.channels=1")
        return augment
