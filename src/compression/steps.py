"""A chain of steps by their names. A file is imported when it is wanted: few variants need them all."""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from src.compression.artifacts import OnnxModel, Setting, TorchModel
from src.config.schema.compress import Step

FILES = {
    "prune_unstructured": "prune",  # torch_pruning
    "prune_structured": "prune",
    "finetune": "refine",  # Lightning
    "distill": "refine",
    "quantize_aware_train": "qat",  # torchao
    "export": "export",
    "quantize_dynamic": "quantize",  # ONNX Runtime's quantizer
    "quantize_static": "quantize",
}


def run_chain(steps: Sequence[Step], base: TorchModel, setting_of: Callable[[int], Setting]) -> OnnxModel:
    """The ONNX model at the end of the chain; ``setting_of`` makes the setting of each place in it.

    Raises:
        MethodError: a step cannot do this model.
    """
    handed: Any = base
    for place, step in enumerate(steps):
        carry_out = getattr(import_module(f"src.compression.{FILES[step.name]}"), step.name)
        handed = carry_out(handed, step, setting_of(place))
    assert isinstance(handed, OnnxModel)  # the schema sees to it that a chain exports
    return handed
