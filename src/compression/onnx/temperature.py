"""Divides the logits of an ONNX model, so that the served model's probabilities are calibrated."""

import numpy as np
import onnx
from onnx import helper, numpy_helper

from src.compression.onnx.export import OUTPUT, portable_bytes

DIVIDED, TEMPERATURE = "logits_before_temperature", "temperature"


def divide_logits(content: bytes, temperature: float) -> bytes:
    """The model with its logits divided by ``temperature``, in float32; unchanged if it is 1."""
    if temperature == 1:
        return content
    model = onnx.load_from_string(content)
    for node in model.graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                names[index] = DIVIDED if name == OUTPUT else name
    value = numpy_helper.from_array(np.array(temperature, np.float32), TEMPERATURE)
    model.graph.initializer.append(value)
    model.graph.node.append(helper.make_node("Div", [DIVIDED, TEMPERATURE], [OUTPUT], "divide_logits"))
    onnx.checker.check_model(model)
    return portable_bytes(model)
