"""Section ``compress``."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from src.config.schema.base import Count, Fraction, Name, Positive, Section, Share


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
