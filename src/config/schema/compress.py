"""Section ``compress``: the variants of the base model, each a list of steps."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from src.config.schema.base import Count, Fraction, Name, Positive, Section, Share


class PruneUnstructured(Section):
    """Set single weights to zero and keep them at zero in later training."""

    name: Literal["prune_unstructured"]
    ratio: Share  # share of the weights of all convolutions and linear layers
    criterion: Literal["magnitude", "random"]


class PruneStructured(Section):
    """Remove whole channels. The classifier keeps its outputs."""

    name: Literal["prune_structured"]
    ratio: Share  # share of the channels
    criterion: Literal["magnitude", "batch_norm", "taylor", "fpgm", "random"]
    iterations: Count  # 1: all at once; more: in that many rounds, ranking the channels again in each


class Finetune(Section):
    """Continue to train the network, with the settings of `train` except for these."""

    name: Literal["finetune"]
    epochs: Count
    lr: Positive  # peak


class Distill(Section):
    """Train a student on the soft labels of the base (Hinton, Vinyals and Dean, 2015) and the true labels."""

    name: Literal["distill"]
    # Fields of `model` that differ in the student, which is a new network; null: the network as it is now.
    student: dict[str, Any] | None
    epochs: Count
    lr: Positive  # peak
    temperature: Positive  # of both softmaxes
    alpha: Fraction  # weight of the soft loss


class QuantizeAwareTrain(Section):
    """Train with int8 rounding in the forward pass, then convert to int8."""

    name: Literal["quantize_aware_train"]
    epochs: Count
    lr: Positive  # peak


class Export(Section):
    """Convert from torch to ONNX."""

    name: Literal["export"]


class QuantizeDynamic(Section):
    """int8 weights; the scales of activations are computed for each batch."""

    name: Literal["quantize_dynamic"]
    per_channel: bool  # one scale for each output channel of the weights


class QuantizeStatic(Section):
    """int8 weights and activations, with scales from training images."""

    name: Literal["quantize_static"]
    images: Count  # how many, from the training split
    calibration: Literal["minmax", "entropy", "percentile"]
    per_channel: bool  # one scale for each output channel of the weights


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
BASELINE = "onnx_fp32"  # the variant that is always there: the base as ONNX, unchanged
INT8 = {"quantize_aware_train": "the network is already int8"}
# step: {a step that must not come before it: why}
CONFLICTS = {
    "prune_unstructured": INT8,
    "prune_structured": {"prune_unstructured": "its masks would no longer fit", **INT8},
    "finetune": INT8,
    "distill": INT8,
    "quantize_aware_train": {
        "prune_unstructured": "it does not keep the zeros: use quantize_static after export",
        **INT8,
    },
    "quantize_dynamic": INT8,
    "quantize_static": INT8,
}


class Variant(Section):
    """A list of compression steps: on the torch network before `export`, on the ONNX file after it."""

    steps: Annotated[list[Step], Field(min_length=1)]

    @field_validator("steps")
    @classmethod
    def _fit_together(cls, steps: list[Step]) -> list[Step]:
        names = [step.name for step in steps]
        faults = [*_export_faults(names), *_order_faults(names), *_student_faults(steps)]
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


class Compress(Section):
    tolerance: Positive  # largest absolute difference of a logit, ONNX against the torch model it came from
    agreement: Fraction  # smallest share of equal predictions, int8 against the float model it came from
    variants: dict[Name, Variant]

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
