"""Runs a chain of compression steps, importing only what the chain needs: torchao alone takes seconds."""

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from src.compression.artifacts import OnnxModel, StepContext, TorchModel
from src.config.schema.compress import Step


def run_chain(steps: Sequence[Step], base: TorchModel, context_of: Callable[[int], StepContext]) -> OnnxModel:
    """The ONNX model at the end of the chain; ``context_of`` makes the context of each place in it.

    Raises:
        UnsupportedModelError: a step cannot handle this model.
    """
    artifact: Any = base
    for place, step in enumerate(steps):
        run_step = getattr(_module_of(step.name), step.name)
        artifact = run_step(artifact, step, context_of(place))
    assert isinstance(artifact, OnnxModel)  # the schema makes sure that a chain exports
    return artifact


def _module_of(name: str) -> ModuleType:
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
        case "export":
            from src.compression import export_step

            return export_step
        case _:
            from src.compression import post_training

            return post_training
