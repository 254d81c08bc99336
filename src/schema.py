"""What a configuration may say: one class for each section of ``params.yaml``.

Every field is checked for type and range, unknown keys are refused, and all faults are reported
together (pydantic). A contradiction is reported at the later of the two fields, by a validator that
sees the fields before it; so it is found even while other fields are at fault. Nothing has a default
here: the defaults are in ``conf/``, so that ``params.yaml`` shows everything that decides a result.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

Fraction = Annotated[float, Field(ge=0, le=1)]
Share = Annotated[float, Field(gt=0, lt=1)]
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


Figure = Literal["val/accuracy", "val/loss", "parameters", "macs", "bytes"]
NUMBER = r"[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?"
BOUND = rf"^(val/accuracy|val/loss|parameters|macs|bytes) *(<=|>=) *{NUMBER}$"
Constraint = Annotated[str, Field(pattern=BOUND)]


class Sweep(Section):
    """A search for better settings of the training."""

    method: Literal["none", "grid", "random", "tpe", "gp", "cmaes", "nsga2"]  # none: no search
    space: dict[str, str]  # field: what it may be, in Hydra's sweep syntax
    proxy: dict[str, Any]  # field: what it is in all trials, instead of what the training has
    trials: Count  # in all
    batch: Count  # proposed together; sampling and pruning look at earlier batches only
    pruner: Literal["none", "median", "hyperband", "successive_halving", "wilcoxon"]
    objectives: Annotated[dict[Figure, Literal["minimize", "maximize"]], Field(min_length=1)]
    constraints: list[Constraint]
    folds: Annotated[int, Field(ge=0)]  # that a trial is the mean of; 0: the validation split
    threads: Count  # of a trial; changes the bytes of the result
    retries: Annotated[int, Field(ge=0)]  # of a trial that the machine stopped
    max_failures: Count  # the first trials in a row that may fail
    jobs: Literal["auto"] | Count  # trials at a time
    asynchronous: bool
    storage: Annotated[str, Field(pattern=r"^(embedded|[a-z0-9+]+://.+)$")]
    study: Name | None

    @field_validator("pruner")
    @classmethod
    def _pairs(cls, pruner: str, before: ValidationInfo) -> str:
        method = before.data.get("method")
        if pruner != "none" and method == "nsga2":
            raise ValueError(f"must be none with sweep.method=nsga2, which cannot prune, but got {pruner}")
        return pruner

    @field_validator("objectives")
    @classmethod
    def _several_objectives(cls, objectives: dict[str, str], before: ValidationInfo) -> dict[str, str]:
        if len(objectives) == 1:
            return objectives
        if before.data.get("method") == "cmaes":
            raise ValueError("cmaes (sweep.method) takes one objective: use nsga2, tpe, gp, grid or random")
        if before.data.get("pruner", "none") != "none":
            raise ValueError(
                f"sweep.pruner={before.data['pruner']} takes one objective: set sweep.pruner=none"
            )
        return objectives

    @field_validator("folds")
    @classmethod
    def _fold_pruning(cls, folds: int, before: ValidationInfo) -> int:
        pruner = before.data.get("pruner")
        if folds == 1:
            raise ValueError("must be 0 (the validation split) or at least 2, but got 1")
        if folds and pruner in ("hyperband", "successive_halving"):
            raise ValueError(
                f"must be 0 with sweep.pruner={pruner}, which needs epochs: folds are pruned by median or "
                f"wilcoxon, but got {folds}"
            )
        if pruner == "wilcoxon" and folds < 5:
            raise ValueError(
                "must be at least 5 with sweep.pruner=wilcoxon: with fewer pairs its test cannot decide "
                f"before the last fold, but got {folds}"
            )
        return folds

    @field_validator("asynchronous")
    @classmethod
    def _generations_need_batches(cls, asynchronous: bool, before: ValidationInfo) -> bool:
        method = before.data.get("method")
        if asynchronous and method in ("cmaes", "nsga2"):
            raise ValueError(f"must be false with sweep.method={method}, which works in generations")
        return asynchronous


class CrossValidate(Section):
    """Trainings on all folds of split.folds, each tested on the fold it has not seen."""

    nested: bool  # search inside each training part
    repeats: Count  # with other folds and seeds
    val: Annotated[float, Field(gt=0, lt=1)]  # share of a training part that chooses its epoch
    proxy: dict[str, Any]  # field: what it is in all folds, instead of what the training has
    threads: Count  # of a fold; changes the bytes of the result
    jobs: Literal["auto"] | Count  # folds at a time


class Evaluate(Section):
    """What is reported about the base model on the test split."""

    bootstrap: Annotated[int, Field(ge=100)]  # resamples
    confidence: Annotated[float, Field(gt=0, lt=1)]
    top_k: Annotated[int, Field(ge=2)]
    calibration_bins: Annotated[int, Field(ge=2)]
    mistakes: Count  # images in the gallery
    batch_size: Count


class PruneUnstructured(Section):
    """Set single weights to zero, and hold them there in all training that follows."""

    name: Literal["prune_unstructured"]
    ratio: Share  # of all weights of convolutions and linear layers together
    criterion: Literal["magnitude", "random"]


class PruneStructured(Section):
    """Remove whole channels; the classifier keeps its outputs."""

    name: Literal["prune_structured"]
    ratio: Share  # of the channels
    criterion: Literal["magnitude", "batch_norm", "taylor", "fpgm", "random"]
    iterations: Count  # 1: all at once; more: in so many steps, ranking anew before each


class Finetune(Section):
    """Train the network as it is now with the settings of `train`, but for these."""

    name: Literal["finetune"]
    epochs: Count
    lr: Positive  # peak


class Distill(Section):
    """Train a student on the base's soft labels (Hinton, Vinyals and Dean, 2015) and the true ones."""

    name: Literal["distill"]
    student: (
        dict[str, Any] | None
    )  # field of model: its value in a new network; null: the network as it is now
    epochs: Count
    lr: Positive  # peak
    temperature: Positive  # of both softmaxes
    alpha: Fraction  # share of the soft loss


class QuantizeAwareTrain(Section):
    """Train with the rounding of int8 in place, and become int8."""

    name: Literal["quantize_aware_train"]
    epochs: Count
    lr: Positive  # peak


class Export(Section):
    """From torch to ONNX."""

    name: Literal["export"]


class QuantizeDynamic(Section):
    """int8 weights; the scale of activations is found anew for each batch."""

    name: Literal["quantize_dynamic"]
    per_channel: bool  # a scale for each output channel of the weights


class QuantizeStatic(Section):
    """int8 weights and activations, whose scales come from training images."""

    name: Literal["quantize_static"]
    images: Count  # of the training split
    calibration: Literal["minmax", "entropy", "percentile"]
    per_channel: bool  # a scale for each output channel of the weights


Step = Annotated[
    PruneUnstructured
    | PruneStructured
    | Finetune
    | Distill
    | QuantizeAwareTrain
    | Export
    | QuantizeDynamic
    | QuantizeStatic,
    Field(discriminator="name"),
]
AFTER_EXPORT = ("quantize_dynamic", "quantize_static")
# step: {what may not come before it: why}
REFUSED = {
    "prune_unstructured": {"quantize_aware_train": "the network is int8 then"},
    "prune_structured": {
        "prune_unstructured": "its masks would no longer fit",
        "quantize_aware_train": "the network is int8 then",
    },
    "finetune": {"quantize_aware_train": "the network is int8 then"},
    "distill": {"quantize_aware_train": "the network is int8 then"},
    "quantize_aware_train": {
        "prune_unstructured": "it does not hold the zeros: use quantize_static after export",
        "quantize_aware_train": "the network is int8 then",
    },
    "quantize_dynamic": {"quantize_aware_train": "the network is int8 then"},
    "quantize_static": {"quantize_aware_train": "the network is int8 then"},
}


class Variant(Section):
    """A chain of compression steps: torch before `export`, ONNX after it."""

    steps: Annotated[list[Step], Field(min_length=1)]

    @field_validator("steps")
    @classmethod
    def _makes_sense(cls, steps: list[Step]) -> list[Step]:
        names = [step.name for step in steps]
        faults = [*_export_faults(names), *_order_faults(names), *_student_faults(steps)]
        if faults:
            raise ValueError("; ".join(faults))
        return steps


def _export_faults(names: Sequence[str]) -> list[str]:
    """Exactly one export, and on either side of it what works there."""
    if names.count("export") != 1:
        return [f"must have export exactly once, but got {', '.join(names)}"]
    place = names.index("export")
    early = [name for name in names[:place] if name in AFTER_EXPORT]
    late = [name for name in names[place + 1 :] if name not in AFTER_EXPORT]
    return [
        *(f"{name} must come after export: it takes an ONNX model" for name in early),
        *(f"{name} cannot come after export: it takes a torch model" for name in late),
        *(["only one of the quantize steps can follow export"] if len(names) - place > 2 else []),
    ]


def _order_faults(names: Sequence[str]) -> list[str]:
    return [
        f"{name} cannot come after {before}: {why}"
        for place, name in enumerate(names)
        for before, why in REFUSED.get(name, {}).items()
        if before in names[:place]
    ]


def _student_faults(steps: list[Step]) -> list[str]:
    """A new student forgets whatever was done to the network before."""
    return [
        f"distill with a student begins anew, and throws away what {steps[place - 1].name} did: "
        "put it first, or set student: null"
        for place, step in enumerate(steps)
        if isinstance(step, Distill) and step.student is not None and place
    ]


class Compress(Section):
    tolerance: Positive  # largest absolute difference of a logit, ONNX against the torch model it came from
    agreement: Fraction  # least share of equal predictions, int8 against the float model it came from
    variants: Annotated[dict[Name, Variant], Field(min_length=1)]


class Benchmark(Section):
    """How latency and throughput of the variants are measured: all in turn, in each of several rounds."""

    rounds: Count  # that count; fewer than 5 allow no ratio
    warmup: Annotated[int, Field(ge=0)]  # rounds before them, which are dropped
    calls: Count  # with one image, in each round and for each model
    batches: Count  # of each batch size, in each round and for each model
    batch_sizes: Annotated[list[Annotated[int, Field(ge=2)]], Field(min_length=1)]  # images, for throughput
    threads: Literal["auto"] | Count


class Policy(Section):
    """What the chosen variant is best at, among those that keep the budgets; judged on validation images."""

    optimize: Literal["latency", "bytes", "accuracy"]
    max_accuracy_drop: NotNegative | None  # share of validation images, against the base
    max_latency_ms: Positive | None  # median for one image
    max_bytes: Count | None  # of model.onnx


class Register(Section):
    """What goes into the MLflow Model Registry, and when it becomes champion."""

    name: Name
    policy: Policy
    level: Annotated[float, Field(gt=0, lt=1)]  # of the test that a challenger is no worse than the champion
    promote: Literal["embedded", "auto", "never"]  # embedded: by itself, but not on a team's server


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
