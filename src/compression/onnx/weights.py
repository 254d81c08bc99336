"""Reads the weights of an ONNX file."""

from pathlib import Path
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import numpy_helper


def read_weights(path: Path) -> dict[str, NDArray[Any]]:
    """{name: value} of every named constant of the graph."""
    return {each.name: numpy_helper.to_array(each) for each in onnx.load(path).graph.initializer}
