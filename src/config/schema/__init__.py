"""What a configuration can say: one class for each section of ``params.yaml``.

pydantic checks the type and range of every field, refuses unknown keys, and reports all faults together. A
contradiction is reported at the later of the two fields, by a validator that sees the fields before it; so it
is found even while other fields are wrong. Nothing has a default here: the defaults are in ``conf/``, so that
``params.yaml`` shows everything that decides a result. ``src.config.reference`` lists all fields.
"""

from typing import Annotated, TypeVar

from pydantic import Field, ValidationInfo, field_validator

from src.config.schema.augment import Augment
from src.config.schema.base import FieldError, Section
from src.config.schema.compress import Compress
from src.config.schema.data import Data, Normalize, Split
from src.config.schema.debug import Debug
from src.config.schema.evaluate import Benchmark, CrossValidate, Evaluate
from src.config.schema.machine import Machine
from src.config.schema.model import IMAGENET, Backbone, FeatureModel, Knn, ModelConfig
from src.config.schema.register import Register
from src.config.schema.sweep import Sweep
from src.config.schema.train import Train

AnyThreaded = TypeVar("AnyThreaded", Sweep, CrossValidate)


class Config(Section):
    """A whole configuration, as ``params.yaml`` holds it."""

    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(description="Everything random derives from it")
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
    debug: Debug | None = None  # of an ad-hoc run; params.yaml never has it

    @field_validator("model")
    @classmethod
    def _statistics_have_weights(cls, model: ModelConfig, before: ValidationInfo) -> ModelConfig:
        normalize = before.data.get("normalize")
        if normalize is not None and normalize.method == "pretrained" and model.weights is None:
            raise FieldError("weights", "must name weights to start from with normalize.method=pretrained")
        if isinstance(model, FeatureModel) and model.weights is None:
            raise FieldError(
                "weights",
                f"must name weights with model.kind={model.kind}, which trains no network: set imagenet",
            )
        if model.weights == IMAGENET and not isinstance(model, Backbone):
            raise FieldError(
                "weights",
                f"imagenet is for timm models, and model.kind={model.kind}: take a model such as "
                "model=resnet18, or name a file in data/weights",
            )
        return model

    @field_validator("train")
    @classmethod
    def _frozen_layers_have_weights(cls, train: Train, before: ValidationInfo) -> Train:
        model, layers = before.data.get("model"), train.finetune.layers
        if layers != "all" and model is not None and model.weights is None:
            raise FieldError(
                "finetune.layers",
                f"{layers} keeps weights that were trained before, but model.weights=null: set "
                "model.weights, or train.finetune.layers=all",
            )
        return train

    @field_validator("train")
    @classmethod
    def _nothing_is_asked_of_a_fit(cls, train: Train, before: ValidationInfo) -> Train:
        """A fit has no batches and trains no layers; neighbors cannot be told how much a class counts."""
        model = before.data.get("model")
        if not isinstance(model, FeatureModel):
            return train
        wanted = {"finetune.layers": ("all", "head"), "sampler": ("shuffle",), "mixup": (0,), "cutmix": (0,)}
        wanted |= {"class_weights": ("none",)} if isinstance(model, Knn) else {}
        for field, allowed in wanted.items():
            found = train.finetune.layers if field == "finetune.layers" else getattr(train, field)
            if found not in allowed:
                raise FieldError(field, f"must be {allowed[0]} with model.kind={model.kind}, but got {found}")
        return train

    @field_validator("sweep", "cross_validate")
    @classmethod
    def _portable_has_one_thread(cls, section: AnyThreaded, before: ValidationInfo) -> AnyThreaded:
        if _is_portable(before) and section.threads != 1:
            raise FieldError(
                "threads",
                "must be 1 with train.precision=portable (or train.precision=auto), but got "
                f"{section.threads}",
            )
        return section

    @field_validator("machine")
    @classmethod
    def _portable_has_no_gpu(cls, machine: Machine, before: ValidationInfo) -> Machine:
        if _is_portable(before) and machine.device not in ("auto", "cpu"):
            raise FieldError(
                "device",
                "must be auto or cpu with train.precision=portable (or train.precision=auto), but got "
                f"{machine.device}",
            )
        return machine

    @field_validator("augment")
    @classmethod
    def _color_has_channels(cls, augment: Augment, before: ValidationInfo) -> Augment:
        data = before.data.get("data")
        color = [o.name for o in augment.operations if o.name in ("saturation", "hue")]
        if color and data is not None and data.channels == 1:
            raise FieldError("operations", f"{', '.join(color)} need color, but data.channels=1")
        model = before.data.get("model")
        if isinstance(model, FeatureModel) and augment.operations:
            raise FieldError(
                "operations",
                f"must be [] with model.kind={model.kind}, which sees each image once: augment=none",
            )
        return augment


def _is_portable(before: ValidationInfo) -> bool:
    train = before.data.get("train")
    return train is not None and train.precision == "portable"
