"""From a torch network to an ONNX file with the same bytes in every folder."""

import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from src.compression.chain import OnnxModel, Setting, TorchModel
from src.compression.layout import keep_channels_last
from src.compression.limits import limits_of
from src.compression.rewriting import round_rest
from src.schema import Export

OPSET = 20
INPUT, OUTPUT = "images", "logits"


def export(model: TorchModel, step: Export, setting: Setting) -> OnnxModel:  # noqa: ARG001  # as all steps
    """The network behind its normalization as ONNX; also one that was converted to int8.

    Raises:
        MethodError: torch cannot express the network in ONNX.
    """
    example = torch.from_numpy(np.ascontiguousarray(setting.images[setting.train_rows[:2]]))
    with limits_of("torch's ONNX exporter"):
        exported = onnx.load_from_string(onnx_bytes(model.normalized(), example))
        round_rest(exported)
        keep_channels_last(exported)
        onnx.checker.check_model(exported, full_check=True)
        return OnnxModel(portable_bytes(exported), source=model)


def export_onnx(network: nn.Module, example: torch.Tensor, path: Path) -> None:
    """Write ``network`` as ONNX; see ``onnx_bytes``."""
    path.write_bytes(onnx_bytes(network, example))


def onnx_bytes(network: nn.Module, example: torch.Tensor) -> bytes:
    """The content of an ONNX file; the batch size stays free.

    Args:
        network: takes what ``example`` is, gives logits (B, K).
        example: images, uint8 (B, C, H, W) with B of at least 2.

    Returns:
        A model with input ``images`` and output ``logits``.
    """
    with warnings.catch_warnings():
        # torch copies its own deprecated LeafSpec here; nothing that a caller could do otherwise.
        warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
        program = torch.onnx.export(
            network.eval(),
            (example,),
            input_names=[INPUT],
            output_names=[OUTPUT],
            opset_version=OPSET,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # None only without dynamo
    model = program.model_proto
    onnx.checker.check_model(model, full_check=True)
    return portable_bytes(model)


def portable_bytes(model: onnx.ModelProto) -> bytes:
    """The same in every folder and process; clears in ``model`` what names where it was made."""
    _forget_origin(model)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _forget_origin(model: onnx.ModelProto) -> None:
    """Clear what names the exporting machine: stack traces with absolute paths, and descriptions."""
    graphs = [model.graph, *model.functions]
    parts = [model, *graphs, *(node for graph in graphs for node in graph.node)]
    parts += [value for graph in graphs for value in graph.value_info]
    parts += [*model.graph.input, *model.graph.output, *model.graph.initializer]
    for part in parts:
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
