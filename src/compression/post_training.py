"""Steps that convert a trained ONNX model to int8, with ONNX Runtime's quantizer.

Measured on the default cnn at 28×28 (batch 64, 2 threads, a CPU with VNNI): most time is lost where values
are converted from int8 to float and back. So ``graph_rewrite`` first expresses norms, activations and means
in operators that have int8 kernels. All others stay float.
"""

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import onnxruntime.quantization as ort
from numpy.typing import NDArray
from onnxruntime.quantization.shape_inference import quant_pre_process

from src.compression.artifacts import OnnxModel, StepContext
from src.compression.onnx.channels_last import keep_channels_last
from src.compression.onnx.export import INPUT, OUTPUT, portable_bytes
from src.compression.onnx.graph_rewrite import Graph, rewrite, stem_nodes
from src.compression.onnx.library_errors import UnsupportedModelError, translate_errors
from src.compression.recurrent import refuse_recurrent
from src.config.schema.compress import QuantizeDynamic, QuantizeStatic

QUANTIZER = "ONNX Runtime's quantizer"
BATCH = 64  # images at a time in calibration
CALIBRATION = {
    "minmax": ort.CalibrationMethod.MinMax,
    "entropy": ort.CalibrationMethod.Entropy,
    "percentile": ort.CalibrationMethod.Percentile,
}
# ONNX Runtime has fast int8 kernels for these. Softmax or layer norms would lose accuracy and gain no speed.
OPERATORS = [
    *("Conv", "Gemm", "MatMul", "Add", "Mul", "Concat"),
    *("Relu", "Clip", "LeakyRelu", "Sigmoid"),
    *("MaxPool", "AveragePool", "GlobalAveragePool"),
    *("Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze"),
]
PRODUCTS = ("Conv", "Gemm", "MatMul")
# Rounding errors add up from row to row, and only the LSTM has an int8 kernel, which computes its gates in
# float32 differently on each CPU.
FLOAT_RECURRENCE = "the weights between rows stay float"
OPTIONS: dict[str, Any] = {
    # The output of a Relu starts at zero: a symmetric range would waste half of the 256 values.
    "CalibTensorRangeSymmetric": False,
    # One batch at a time: reduce its activations to a range or a histogram before the next one.
    "CalibStridedMinMax": 1,
}


def quantize_static(model: OnnxModel, step: QuantizeStatic, context: StepContext) -> OnnxModel:
    """Convert to uint8 activations and int8 weights, with scales of activations from training images.

    Raises:
        UnsupportedModelError: the quantizer does not support the model.
    """
    refuse_recurrent(model.source.network, "quantize_static", FLOAT_RECURRENCE)
    images = _draw(context, step.images)
    with translate_errors(QUANTIZER), TemporaryDirectory() as folder, _quiet():
        quantized = Path(folder) / "quantized.onnx"
        prepared = _prepare(model.content, Path(folder))
        ort.quantize_static(
            prepared,
            quantized,
            _Batches(context.images, images),
            quant_format=ort.QuantFormat.QDQ,  # fused into int8 kernels when a session starts
            op_types_to_quantize=OPERATORS,
            per_channel=step.per_channel,
            activation_type=ort.QuantType.QUInt8,  # with int8 weights: what VNNI multiplies
            weight_type=ort.QuantType.QInt8,
            nodes_to_exclude=_float_nodes(onnx.load(prepared)),
            calibrate_method=CALIBRATION[step.calibration],
            extra_options=OPTIONS,
        )
        return _finish(model, onnx.load(quantized))


def quantize_dynamic(
    model: OnnxModel,
    step: QuantizeDynamic,
    context: StepContext,  # noqa: ARG001  # every step has the same arguments
) -> OnnxModel:
    """Convert to int8 weights. The scales of activations are computed for each batch.

    Raises:
        UnsupportedModelError: the quantizer does not support the model.
    """
    refuse_recurrent(model.source.network, "quantize_dynamic", FLOAT_RECURRENCE)
    with translate_errors(QUANTIZER), TemporaryDirectory() as folder, _quiet():
        quantized = Path(folder) / "quantized.onnx"
        rewritten = _rewrite(model.content, Path(folder))
        ort.quantize_dynamic(
            rewritten, quantized, per_channel=step.per_channel, weight_type=ort.QuantType.QInt8
        )
        return _finish(model, onnx.load(quantized))


def _prepare(content: bytes, folder: Path) -> Path:
    """Write the model as the quantizer needs it: rewritten, optimized, with shapes."""
    prepared = folder / "prepared.onnx"
    # Symbolic shapes fail on what torch exports.
    quant_pre_process(_rewrite(content, folder), prepared, skip_symbolic_shape=True)
    return prepared


def _rewrite(content: bytes, folder: Path) -> Path:
    """Write the model rewritten and without the exporter's shapes, which contradict the quantizer's."""
    rewritten = folder / "rewritten.onnx"
    model = onnx.load_from_string(content)
    rewrite(model)
    onnx.save(model, rewritten)
    return rewritten


def _float_nodes(model: onnx.ModelProto) -> list[str]:
    """Names of nodes that int8 would make slower or wrong."""
    graph = Graph(model)
    # Between two int8 products ONNX Runtime also rounds the softmax of attention, mostly to zero.
    attention = [
        node.name
        for node in graph.nodes
        if node.op_type == "MatMul" and not set(node.input) & graph.constants.keys()
    ]
    # The sums of a transformer have outliers, which would stretch the range of the 256 values.
    transformer = any(node.op_type == "LayerNormalization" for node in graph.nodes)
    sums = [node.name for node in graph.nodes if node.op_type in ("Add", "Mul") and transformer]
    return [*stem_nodes(model), *attention, *sums, *_views(graph)]


def _views(graph: Graph) -> Iterator[str]:
    """Names of nodes that put views of an image together: its pixels have 256 values already."""
    computed: set[str] = set()  # values that depend on a product
    for node in graph.nodes:  # each comes after those that it depends on
        if node.op_type in PRODUCTS or computed & set(node.input):
            computed |= set(node.output)
        elif node.op_type == "Concat":
            yield node.name


class _Batches(ort.CalibrationDataReader):  # type: ignore[misc]  # the library has no types
    """Images by their rows, one batch at a time. Length and range count batches."""

    def __init__(self, images: NDArray[np.uint8], rows: NDArray[np.int64]) -> None:
        self.images = images
        self.batches = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
        self.rest: list[NDArray[np.int64]] = []

    def __len__(self) -> int:
        return len(self.batches)

    def set_range(self, start_index: int, end_index: int) -> None:
        self.rest = self.batches[start_index:end_index]

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        return {INPUT: self.images[self.rest.pop(0)]} if self.rest else None


def _draw(context: StepContext, count: int) -> NDArray[np.int64]:
    """Draw training rows with the step's seed, or all of them if there are fewer."""
    rows = context.train_rows
    random = np.random.default_rng(context.seed)
    return np.sort(random.choice(rows, min(count, len(rows)), replace=False))


def _finish(model: OnnxModel, quantized: onnx.ModelProto) -> OnnxModel:
    """Keep the logits of the quantized model float, and check it."""
    graph = Graph(quantized)
    if not any(values.dtype == np.int8 for values in graph.constants.values()):
        raise UnsupportedModelError(f"{QUANTIZER} finds no weights to convert to int8 in this model")
    _keep_logits_float(graph)
    graph.write(quantized)
    keep_channels_last(quantized)
    onnx.checker.check_model(quantized)
    return OnnxModel(portable_bytes(quantized), model.source)


def _keep_logits_float(graph: Graph) -> None:
    """Rounded to 256 values, two classes often tie. The product before them is summed in 32 bits anyway.

    Logits that vote are those before the vote.
    """
    votes = [node.input[0] for node in graph.nodes if node.op_type == "LogSoftmax"]
    for value in (OUTPUT, *(logits for vote in votes for logits in _voters(graph, vote))):
        _keep_float(graph, value)


def _voters(graph: Graph, value: str) -> Iterator[str]:
    """The logits that are put together in ``value`` as float64, see ``log_mean_probability``."""
    node = graph.producer(value)
    if node is not None and node.op_type == "Cast":
        yield node.input[0]
    elif node is not None and node.op_type in ("Concat", "Unsqueeze", "Reshape"):
        for each in node.input:
            yield from _voters(graph, each)


def _keep_float(graph: Graph, value: str) -> None:
    """Remove the rounding of ``value`` if a separate node does it."""
    last = graph.producer(value)
    if last is None or last.op_type != "DequantizeLinear":
        return
    rounding = graph.producer(last.input[0])
    if rounding is None or rounding.op_type != "QuantizeLinear" or not graph.feeds_one(rounding):
        return
    product = graph.producer(rounding.input[0])
    if product is None or not graph.feeds_one(product):
        return
    product.output[0] = value
    graph.replace(rounding, [])
    graph.replace(last, [])


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the quantizer's warnings and what it prints about histograms."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
