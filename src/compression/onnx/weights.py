"""The weights in an ONNX file."""

from pathlib import Path
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import numpy_helper


def read_weights(path: Path) -> dict[str, NDArray[Any]]:
    """{name: value} of every constant of the graph that has a name."""
    return {each.name: numpy_helper.to_array(each) for each in onnx.load(path).graph.initializer}
