"""Recurrent networks are trained further and exported; what cannot handle them says why."""

import numpy as np
import pytest
import torch

from src.compression.artifacts import OnnxModel, TorchModel
from src.compression.export_step import export
from src.compression.fine_tune import finetune
from src.compression.onnx.library_errors import UnsupportedModelError
from src.compression.parity import largest_difference, onnx_logits, torch_logits
from src.compression.steps import run_steps
from src.config.schema.compress import Export, Finetune, Variant
from src.config.schema.model import Rnn
from src.models.build import build_model
from tests.support.digits import VAL_ROWS, accuracy, digits, make_context, make_spec

EXPORT = {"name": "export"}
REFUSED = {
    "prune_unstructured": [{"name": "prune_unstructured", "ratio": 0.5, "criterion": "magnitude"}, EXPORT],
    "prune_structured": [
        {"name": "prune_structured", "ratio": 0.5, "criterion": "magnitude", "iterations": 1},
        EXPORT,
    ],
    "quantize_aware_train": [{"name": "quantize_aware_train", "epochs": 1, "lr": 0.001}, EXPORT],
    "quantize_dynamic": [EXPORT, {"name": "quantize_dynamic", "per_channel": True}],
    "quantize_static": [
        EXPORT,
        {"name": "quantize_static", "images": 64, "calibration": "minmax", "per_channel": True},
    ],
}


def recurrent(cell: str) -> TorchModel:
    section = Rnn(kind="rnn", cell=cell, units=12, layers=1, bidirectional=True, dropout=0.0)
    torch.manual_seed(0)
    return TorchModel(build_model(section, 1, 10, (8, 8)).eval(), make_spec(section))


@pytest.mark.slow
@pytest.mark.parametrize("step", REFUSED)
def test_a_step_that_cannot_handle_it_says_why(tmp_path, step):
    variant = Variant.model_validate({"steps": REFUSED[step]})
    context = make_context(recurrent("gru"), tmp_path)
    with pytest.raises(
        UnsupportedModelError, match=rf"^{step} does not support recurrent layers \(GRU\): \w+"
    ):
        run_steps(variant.steps, context)


@pytest.mark.slow
@pytest.mark.parametrize(
    "cell",
    [pytest.param("rnn", marks=pytest.mark.prove), pytest.param("lstm", marks=pytest.mark.prove), "gru"],
)
def test_it_learns_and_its_export_agrees(tmp_path, cell):
    model = recurrent(cell)
    context = make_context(model, tmp_path)
    trained = finetune(model, Finetune(name="finetune", epochs=6, lr=0.02), context)
    images = np.ascontiguousarray(digits()[0][VAL_ROWS])
    expected = torch_logits(trained, images)
    assert accuracy(expected, VAL_ROWS) > 0.6  # of ten classes, after 6 epochs
    exported = export(trained, Export(name="export"), context)
    assert isinstance(exported, OnnxModel)
    assert largest_difference(expected, onnx_logits(exported.content, images, threads=1)) < 1e-4
