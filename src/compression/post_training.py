"""Steps that make an ONNX model int8 after its training, with ONNX Runtime's quantizer.

Measured on the default cnn at 28×28 (batch 64, 2 threads, a CPU with VNNI): most is lost where values leave
int8 and come back. So ``rewriting`` first says norms, activations and means in operators that have int8
kernels; all others stay float.
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
from src.compression.onnx.graph_rewrite import Graph, pixel_nodes, rewrite
from src.compression.onnx.library_errors import UnsupportedModelError, translate_errors
from src.config.schema.compress import QuantizeDynamic, QuantizeStatic

QUANTIZER = "ONNX Runtime's quantizer"
BATCH = 64  # images whose activations calibration holds at a time
CALIBRATION = {
    "minmax": ort.CalibrationMethod.MinMax,
    "entropy": ort.CalibrationMethod.Entropy,
    "percentile": ort.CalibrationMethod.Percentile,
}
# Of these ONNX Runtime has fast int8 kernels. Softmax and layer norms, say, would lose accuracy and no time.
OPERATORS = [
    *("Conv", "Gemm", "MatMul", "Add", "Mul", "Concat"),
    *("Relu", "Clip", "LeakyRelu", "Sigmoid"),
    *("MaxPool", "AveragePool", "GlobalAveragePool"),
    *("Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze"),
]
OPTIONS: dict[str, Any] = {
    # What a Relu leaves begins at zero: a symmetric range would waste half of the 256 values.
    "CalibTensorRangeSymmetric": False,
    # A batch at a time: its activations become a range or a histogram before the next one comes.
    "CalibStridedMinMax": 1,
}


def quantize_static(model: OnnxModel, step: QuantizeStatic, setting: StepContext) -> OnnxModel:
    """uint8 activations and int8 weights; the scales of activations come from images of the training rows.

    Raises:
        MethodError: the quantizer cannot do the model.
    """
    images = _draw(setting, step.images)
    with translate_errors(QUANTIZER), TemporaryDirectory() as folder, _quiet():
        quantized = Path(folder) / "quantized.onnx"
        prepared = _prepare(model.content, Path(folder))
        ort.quantize_static(
            prepared,
            quantized,
            _Batches(setting.images, images),
            quant_format=ort.QuantFormat.QDQ,  # fused into int8 kernels when a session starts
            op_types_to_quantize=OPERATORS,
            per_channel=step.per_channel,
            activation_type=ort.QuantType.QUInt8,  # with int8 weights: VNNI's own product
            weight_type=ort.QuantType.QInt8,
            nodes_to_exclude=_float_nodes(onnx.load(prepared)),
            calibrate_method=CALIBRATION[step.calibration],
            extra_options=OPTIONS,
        )
        return _finished(model, onnx.load(quantized))


def quantize_dynamic(
    model: OnnxModel,
    step: QuantizeDynamic,
    setting: StepContext,  # noqa: ARG001  # as all steps
) -> OnnxModel:
    """int8 weights; the scales of activations are found anew for each batch.

    Raises:
        MethodError: the quantizer cannot do the model.
    """
    with translate_errors(QUANTIZER), TemporaryDirectory() as folder, _quiet():
        quantized = Path(folder) / "quantized.onnx"
        rewritten = _rewrite(model.content, Path(folder))
        ort.quantize_dynamic(
            rewritten, quantized, per_channel=step.per_channel, weight_type=ort.QuantType.QInt8
        )
        return _finished(model, onnx.load(quantized))


def _prepare(content: bytes, folder: Path) -> Path:
    """A file with the model as the quantizer likes it: rewritten, optimized, with shapes."""
    prepared = folder / "prepared.onnx"
    # Symbolic shapes fail on what torch exports.
    quant_pre_process(_rewrite(content, folder), prepared, skip_symbolic_shape=True)
    return prepared


def _rewrite(content: bytes, folder: Path) -> Path:
    """A file with the model rewritten, and without the exporter's shapes, which the quantizer contradicts."""
    rewritten = folder / "rewritten.onnx"
    model = onnx.load_from_string(content)
    rewrite(model)
    onnx.save(model, rewritten)
    return rewritten


def _float_nodes(model: onnx.ModelProto) -> list[str]:
    """Names of nodes that int8 makes no faster, or wrong."""
    graph = Graph(model)
    # Between two rounded products ONNX Runtime rounds the softmax of attention too, to nothing.
    attention = [
        node.name
        for node in graph.nodes
        if node.op_type == "MatMul" and not set(node.input) & graph.constants.keys()
    ]
    # The sums of a transformer have outliers, to which 256 values would be stretched.
    transformer = any(node.op_type == "LayerNormalization" for node in graph.nodes)
    sums = [node.name for node in graph.nodes if node.op_type in ("Add", "Mul") and transformer]
    return [*pixel_nodes(model), *attention, *sums]


class _Batches(ort.CalibrationDataReader):  # type: ignore[misc]  # the library has no types
    """Images by their rows, a batch at a time; its unit of length is a batch."""

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


def _draw(setting: StepContext, count: int) -> NDArray[np.int64]:
    """Rows of the training split by the step's seed, all of them where there are no more."""
    rows = setting.train_rows
    random = np.random.default_rng(setting.seed)
    return np.sort(random.choice(rows, min(count, len(rows)), replace=False))


def _finished(model: OnnxModel, quantized: onnx.ModelProto) -> OnnxModel:
    """The quantized model with float logits."""
    graph = Graph(quantized)
    if not any(values.dtype == np.int8 for values in graph.constants.values()):
        raise UnsupportedModelError(f"{QUANTIZER} finds no weights in this model that it could make int8")
    _keep_logits_float(graph)
    graph.write(quantized)
    keep_channels_last(quantized)
    onnx.checker.check_model(quantized)
    return OnnxModel(portable_bytes(quantized), model.source, float_content=model.content)


def _keep_logits_float(graph: Graph) -> None:
    """Rounded to 256 values two classes often tie; the product before is summed in 32 bits anyway."""
    last = graph.maker(OUTPUT)
    if last is None or last.op_type != "DequantizeLinear":
        return
    rounding = graph.maker(last.input[0])
    if rounding is None or rounding.op_type != "QuantizeLinear" or not graph.feeds_one(rounding):
        return
    product = graph.maker(rounding.input[0])
    if product is None or not graph.feeds_one(product):
        return
    product.output[0] = OUTPUT
    graph.replace(rounding, [])
    graph.replace(last, [])


@contextmanager
def _quiet() -> Iterator[None]:
    """Within: no advice of the quantizer, and none of what it prints of its histograms."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
