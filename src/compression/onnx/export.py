"""Exports a torch network to an ONNX file, with the same bytes in every folder."""

import warnings
from pathlib import Path

import onnx
import torch
from torch import nn

OPSET = 20
INPUT, OUTPUT = "images", "logits"


def export_onnx(network: nn.Module, example: torch.Tensor, path: Path) -> None:
    """Write ``network`` as ONNX; see ``onnx_bytes``."""
    path.write_bytes(onnx_bytes(network, example))


def onnx_bytes(network: nn.Module, example: torch.Tensor) -> bytes:
    """Export a network; the batch size stays dynamic.

    Args:
        network: takes images like ``example``, returns logits (B, K).
        example: images, uint8 (B, C, H, W) with B of at least 2.

    Returns:
        The content of an ONNX file with the input ``images`` and the output ``logits``.
    """
    with warnings.catch_warnings():
        # torch copies its own deprecated LeafSpec here; callers cannot avoid it.
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
    """Serialize a model to bytes that do not depend on folder and process; changes ``model``."""
    _clear_origin(model)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _clear_origin(model: onnx.ModelProto) -> None:
    """Remove what identifies the exporting machine: stack traces with absolute paths, and descriptions."""
    graphs = [model.graph, *model.functions]
    parts = [model, *graphs, *(node for graph in graphs for node in graph.node)]
    parts += [value for graph in graphs for value in graph.value_info]
    parts += [*model.graph.input, *model.graph.output, *model.graph.initializer]
    for part in parts:
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
