"""Runs the steps of a variant, importing only what they need: torchao alone takes seconds."""

from collections.abc import Sequence
from types import ModuleType
from typing import Any

from src.compression.artifacts import OnnxModel, StepContext
from src.config.schema.compress import Step


def run_steps(steps: Sequence[Step], context: StepContext) -> OnnxModel:
    """Apply the steps to ``context.base``, one after the other.

    Raises:
        UnsupportedModelError: a step does not support this model.
    """
    _refuse_empty_views(steps, context)
    model: Any = context.base
    for place, step in enumerate(steps):
        run_step = getattr(_module_of(step.name), step.name)
        model = run_step(model, step, context.for_step(place))
    assert isinstance(model, OnnxModel)  # the schema requires an export
    return model


def _refuse_empty_views(steps: Sequence[Step], context: StepContext) -> None:
    """Before a training, not after."""
    for step in steps:
        if step.name == "tta":
            from src.compression.tta import refuse_empty_views

            refuse_empty_views(step, context.base.spec)


def _module_of(name: str) -> ModuleType:  # noqa: PLR0911  # one for each module
    match name:
        case "prune_unstructured" | "prune_structured":
            from src.compression import prune

            return prune
        case "finetune" | "distill":
            from src.compression import fine_tune

            return fine_tune
        case "quantize_aware_train":
            from src.compression import qat

            return qat
        case "ensemble":
            from src.compression import ensemble

            return ensemble
        case "tta":
            from src.compression import tta

            return tta
        case "export":
            from src.compression import export_step

            return export_step
        case _:
            from src.compression import post_training

            return post_training
