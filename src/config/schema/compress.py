"""Section ``compress``: the variants of the base model, each a list of steps."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from src.config.schema.base import Count, Fraction, Name, Positive, Section, Share


class PruneUnstructured(Section):
    """Set single weights to zero and keep them at zero in later training."""

    name: Literal["prune_unstructured"] = Field(description="Set single weights to zero")
    ratio: Share = Field(description="Share of the weights of all convolutions and linear layers together")
    criterion: Literal["magnitude", "random"] = Field(description="Which weights go first")


class PruneStructured(Section):
    """Remove whole channels. The classifier keeps its outputs."""

    name: Literal["prune_structured"] = Field(description="Remove whole channels")
    ratio: Share = Field(description="Share of the channels")
    criterion: Literal["magnitude", "batch_norm", "taylor", "fpgm", "random"] = Field(
        description="How channels are ranked"
    )
    iterations: Count = Field(
        description="1: remove all at once; more: in this many rounds, ranking the channels again in each"
    )


class Finetune(Section):
    """Continue to train the network, with the settings of `train` except for these."""

    name: Literal["finetune"] = Field(description="Continue the training")
    epochs: Count = Field(description="Epochs")
    lr: Positive = Field(description="Peak learning rate")


class Distill(Section):
    """Train a student on the soft labels of the base (Hinton, Vinyals and Dean, 2015) and the true labels."""

    name: Literal["distill"] = Field(description="Train on the soft labels of the base model")
    student: dict[str, Any] | None = Field(
        description="field of model: its value in a new, smaller network; null: the network as it is now"
    )
    epochs: Count = Field(description="Epochs")
    lr: Positive = Field(description="Peak learning rate")
    temperature: Positive = Field(description="Temperature of both softmaxes")
    alpha: Fraction = Field(description="Weight of the soft loss")


class QuantizeAwareTrain(Section):
    """Train with int8 rounding in the forward pass, then convert to int8."""

    name: Literal["quantize_aware_train"] = Field(description="Train with int8 rounding")
    epochs: Count = Field(description="Epochs")
    lr: Positive = Field(description="Peak learning rate")


class Ensemble(Section):
    """Several networks that vote with their probabilities (Lakshminarayanan et al., 2017)."""

    name: Literal["ensemble"] = Field(description="Average the base and networks trained with other seeds")
    members: Annotated[int, Field(ge=2, le=100)] = Field(description="Networks, of which the base is one")


class OriginalView(Section):
    name: Literal["original"] = Field(description="The image as it is")


class FlippedView(Section):
    name: Literal["flip"] = Field(description="Mirror")
    axis: Literal["horizontal", "vertical"] = Field(description="Along which axis")


class ShiftedView(Section):
    """What comes in at the border is black."""

    name: Literal["shift"] = Field(description="Shift")
    right: int = Field(description="Pixels to the right; below 0: to the left")
    down: int = Field(description="Pixels down; below 0: up")

    @field_validator("down")
    @classmethod
    def _moves(cls, down: int, before: ValidationInfo) -> int:
        if down == 0 and before.data.get("right") == 0:
            raise ValueError("must not be 0 where right is 0: that view is called original")
        return down


View = Annotated[OriginalView | FlippedView | ShiftedView, Field(discriminator="name")]


class Tta(Section):
    """Test-time augmentation: the mean probability of several views of an image."""

    name: Literal["tta"] = Field(description="Average the answers for several views of an image")
    views: Annotated[list[View], Field(min_length=1)] = Field(
        description="Views of an image that vote; a flip only where a mirrored image is of the same class"
    )

    @field_validator("views")
    @classmethod
    def _differ(cls, views: list[View]) -> list[View]:
        twice = [view for place, view in enumerate(views) if view in views[:place]]
        if twice:
            fields = ", ".join(f"{key}: {value}" for key, value in twice[0].model_dump().items())
            raise ValueError(f"must differ, but {{{fields}}} comes twice")
        return views


class Export(Section):
    """Convert from torch to ONNX."""

    name: Literal["export"] = Field(description="Convert to ONNX")


class QuantizeDynamic(Section):
    """int8 weights; the scales of activations are computed for each batch."""

    name: Literal["quantize_dynamic"] = Field(description="int8 weights")
    per_channel: bool = Field(description="One scale for each output channel of the weights")


class QuantizeStatic(Section):
    """int8 weights and activations, with scales from training images."""

    name: Literal["quantize_static"] = Field(description="int8 weights and activations")
    images: Count = Field(description="Training images for the calibration")
    calibration: Literal["minmax", "entropy", "percentile"] = Field(
        description="How the range of the activations is found"
    )
    per_channel: bool = Field(description="One scale for each output channel of the weights")


Step = Annotated[
    PruneUnstructured
    | PruneStructured
    | Finetune
    | Distill
    | QuantizeAwareTrain
    | Ensemble
    | Tta
    | Export
    | QuantizeDynamic
    | QuantizeStatic,
    Field(discriminator="name"),
]
AFTER_EXPORT = ("quantize_dynamic", "quantize_static")
BASELINE = "onnx_fp32"  # the variant that is always there: the base as ONNX, unchanged
INT8 = {"quantize_aware_train": "the network is already int8"}
FINISHED = {
    "ensemble": "it works on one network, and an ensemble has several",
    "tta": "views are for a finished network: put tta after it",
    **INT8,
}
# step: {a step that must not come before it: why}
CONFLICTS = {
    "prune_unstructured": FINISHED,
    "prune_structured": {"prune_unstructured": "its masks would no longer fit", **FINISHED},
    "finetune": FINISHED,
    "distill": FINISHED,
    "quantize_aware_train": {
        "prune_unstructured": "it does not keep the zeros: use quantize_static after export",
        **FINISHED,
    },
    "tta": {"tta": "one step has all the views"},
    "quantize_dynamic": INT8,
    "quantize_static": INT8,
}


class Variant(Section):
    """A list of compression steps: on the torch network before `export`, on the ONNX file after it."""

    steps: Annotated[list[Step], Field(min_length=1)] = Field(description="Compression steps, in this order")

    @field_validator("steps")
    @classmethod
    def _fit_together(cls, steps: list[Step]) -> list[Step]:
        names = [step.name for step in steps]
        faults = [
            *_export_faults(names),
            *_order_faults(names),
            *_student_faults(steps),
            *_ensemble_faults(names),
        ]
        if faults:
            raise ValueError("; ".join(faults))
        return steps


def _export_faults(names: Sequence[str]) -> list[str]:
    """There must be exactly one export, with torch steps before it and at most one ONNX step after it."""
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
        for before, why in CONFLICTS.get(name, {}).items()
        if before in names[:place]
    ]


def _student_faults(steps: list[Step]) -> list[str]:
    """A new student has nothing of what earlier steps did to the network."""
    return [
        f"distill with a student starts with a new network and discards what {steps[place - 1].name} did: "
        "put distill first or set student: null"
        for place, step in enumerate(steps)
        if isinstance(step, Distill) and step.student is not None and place
    ]


def _ensemble_faults(names: Sequence[str]) -> list[str]:
    """The members are trained like the base, so nothing else may have been done to it."""
    return [
        f"ensemble must come first: it trains networks like the base, without what {names[place - 1]} does"
        for place, name in enumerate(names)
        if name == "ensemble" and place
    ]


class Compress(Section):
    tolerance: Positive = Field(
        description="Largest difference of a logit between ONNX and the torch model it came from"
    )
    agreement: Fraction = Field(
        description="Smallest share of equal predictions between int8 and the float model it came from"
    )
    variants: dict[Name, Variant] = Field(description="name: the steps of a variant; each variant is a stage")

    @field_validator("variants")
    @classmethod
    def _include_the_baseline(cls, variants: dict[str, Variant]) -> dict[str, Variant]:
        baseline = variants.get(BASELINE)
        if baseline is None or [step.name for step in baseline.steps] != ["export"]:
            raise ValueError(
                f"must include {BASELINE}, the base model as ONNX: only ONNX models are served. "
                f"Add {BASELINE}: {{steps: [{{name: export}}]}}"
            )
        return variants
