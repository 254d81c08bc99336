"""What a configuration may say: one class for each section of ``params.yaml``.

Every field is checked for type and range, unknown keys are refused, and all faults are reported
together (pydantic). A contradiction is reported at the later of the two fields, by a validator that
sees the fields before it; so it is found even while other fields are at fault. Nothing has a default
here: the defaults are in ``conf/``, so that ``params.yaml`` shows everything that decides a result.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]


class Section(BaseModel):
    """A part of the configuration: frozen, strictly typed, closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Data(Section):
    """Where the images are and how they become one uint8 array."""

    name: Name  # folder under data/raw, also the MLflow experiment
    source: Literal["idx", "image_folder", "csv"]
    image_size: Annotated[list[Annotated[int, Field(ge=1, le=2048)]], Field(min_length=2, max_length=2)]
    channels: Literal[1, 3]  # 1: grey, 3: RGB
    fit: Literal["pad", "crop", "stretch"]  # how an image of another shape gets there
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


class Cnn(Section):
    """A small residual CNN; each width is a stage at half the resolution of the one before."""

    kind: Literal["cnn"]
    widths: Annotated[list[Count], Field(min_length=1)]
    kernel_size: Literal[1, 3, 5, 7]
    activation: Literal["relu", "leaky_relu", "gelu", "silu"]
    pooling: Literal["max", "avg", "stride"]
    batch_norm: bool
    dropout: Annotated[float, Field(ge=0, lt=1)]


class Lenet(Section):
    """LeNet-5 (LeCun et al., 1998)."""

    kind: Literal["lenet"]
    activation: Literal["tanh", "relu"]
    dropout: Annotated[float, Field(ge=0, lt=1)]


class Timm(Section):
    """Any model of timm, adapted to the channels and classes at hand."""

    kind: Literal["timm"]
    name: Annotated[str, Field(min_length=1)]
    pretrained: bool
    small_input: bool  # keep the resolution in the stem
    dropout: Annotated[float, Field(ge=0, lt=1)]


Model = Annotated[Cnn | Lenet | Timm, Field(discriminator="kind")]


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


class Optimizer(Section):
    name: Literal["sgd", "adam", "adamw", "rmsprop"]
    lr: Positive
    weight_decay: NotNegative
    momentum: Annotated[float, Field(ge=0, lt=1)]  # of sgd (Nesterov) and rmsprop


class Schedule(Section):
    """How the learning rate moves. Epochs may be fractions."""

    name: Literal["constant", "cosine", "step", "plateau", "one_cycle"]
    warmup_epochs: NotNegative
    step_epochs: Count  # of step: epochs between drops
    gamma: Annotated[float, Field(gt=0, lt=1)]  # of step and plateau: factor of a drop
    patience: Annotated[int, Field(ge=0)]  # of plateau: epochs without progress before a drop


class Train(Section):
    """One training."""

    epochs: Count
    batch_size: Count
    optimizer: Optimizer
    schedule: Schedule
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    clip_norm: NotNegative  # of the gradient; 0: no clipping
    ema_decay: Annotated[float, Field(ge=0, lt=1)]  # per step; 0: no weight averaging
    patience: Annotated[int, Field(ge=0)]  # epochs without progress before stopping; 0: never
    monitor: Literal["val/loss", "val/accuracy"]
    precision: Literal["auto", "fp32", "bf16"]
    threads: Literal["auto"] | Count

    @field_validator("schedule")
    @classmethod
    def _warm_up_ends(cls, schedule: Schedule, before: ValidationInfo) -> Schedule:
        epochs = before.data.get("epochs")
        if epochs is not None and schedule.warmup_epochs >= epochs:
            raise ValueError(
                f"warmup_epochs must be below train.epochs={epochs}, but got {schedule.warmup_epochs}"
            )
        return schedule

    @field_validator("patience")
    @classmethod
    def _one_cycle_runs_to_its_end(cls, patience: int, before: ValidationInfo) -> int:
        schedule = before.data.get("schedule")
        if patience and schedule is not None and schedule.name == "one_cycle":
            raise ValueError(
                "must be 0 with train.schedule.name=one_cycle, which has to run to its end, "
                f"but got {patience}"
            )
        return patience


class Evaluate(Section):
    """What is reported about the base model on the test split."""

    bootstrap: Annotated[int, Field(ge=100)]  # resamples
    confidence: Annotated[float, Field(gt=0, lt=1)]
    top_k: Annotated[int, Field(ge=2)]
    calibration_bins: Annotated[int, Field(ge=2)]
    mistakes: Count  # images in the gallery
    batch_size: Count


class Variant(Section):
    """A chain of compression steps, the last of which exports."""

    steps: Annotated[list[Literal["export"]], Field(min_length=1)]


class Compress(Section):
    tolerance: Positive  # largest absolute difference of logits, ONNX against torch
    variants: Annotated[dict[Name, Variant], Field(min_length=1)]


class Register(Section):
    """What goes into the MLflow Model Registry."""

    name: Name
    variant: Name
    alias: Name


class Machine(Section):
    """What does not change the result. No stage tracks it."""

    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")]
    workers: Literal["auto"] | Count  # processes that decode images
    progress: bool


class Config(Section):
    """A whole configuration, as ``params.yaml`` holds it."""

    seed: Annotated[int, Field(ge=0, lt=2**32)]
    data: Data
    split: Split
    normalize: Normalize
    model: Model
    augment: Augment
    train: Train
    evaluate: Evaluate
    compress: Compress
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

    @field_validator("register_")
    @classmethod
    def _variant_exists(cls, register: Register, before: ValidationInfo) -> Register:
        compress = before.data.get("compress")
        if compress is not None and register.variant not in compress.variants:
            known = ", ".join(compress.variants)
            raise ValueError(f"variant must be among compress.variants ({known}), but got {register.variant}")
        return register
