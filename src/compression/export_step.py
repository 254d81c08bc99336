"""The step ``export``: from torch to ONNX."""

import numpy as np
import onnx
import torch

from src.compression.artifacts import OnnxModel, StepContext, TorchModel
from src.compression.onnx.channels_last import keep_channels_last
from src.compression.onnx.export import onnx_bytes, portable_bytes
from src.compression.onnx.graph_rewrite import quantize_remaining
from src.compression.onnx.library_errors import translate_errors
from src.config.schema.compress import Export


def export(model: TorchModel, step: Export, context: StepContext) -> OnnxModel:  # noqa: ARG001  # every step has the same arguments
    """Export the network with its normalization to ONNX; it may have been converted to int8 before.

    Raises:
        UnsupportedModelError: torch cannot express the network in ONNX.
    """
    example = torch.from_numpy(np.ascontiguousarray(context.images[context.train_rows[:2]]))
    with translate_errors("torch's ONNX exporter"):
        exported = onnx.load_from_string(onnx_bytes(model.normalized(), example))
        quantize_remaining(exported)
        keep_channels_last(exported)
        onnx.checker.check_model(exported, full_check=True)
        return OnnxModel(portable_bytes(exported), source=model)
