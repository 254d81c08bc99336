"""Rewrites an ONNX graph with operators that have int8 kernels; the function stays the same.

What cannot be rewritten stays as it is. New names derive from old ones, so that the bytes depend on the model
only.
"""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper

MONOTONE = ("Relu", "Clip")  # of several values the largest stays the largest
POOLS = ("MaxPool", "AveragePool")
FEW = 64  # products per sum: with fewer, packing and rounding for int8 take longer than it saves


class Graph:
    """Nodes and constants of a model: change them in place, then write them back."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.nodes = [_copy(node) for node in model.graph.node]
        self.constants = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
        self.outputs = [each.name for each in model.graph.output]

    def write(self, model: onnx.ModelProto) -> None:
        """Replace the graph of ``model``, without unused constants and without inferred shapes."""
        read = {name for node in self.nodes for name in node.input} | set(self.outputs)
        tensors = [
            numpy_helper.from_array(values, name) for name, values in self.constants.items() if name in read
        ]
        for field, content in (("node", self.nodes), ("initializer", tensors), ("value_info", [])):
            model.graph.ClearField(field)
            getattr(model.graph, field).extend(content)

    def producer(self, value: str) -> NodeProto | None:
        """The node whose output is ``value``."""
        return next((node for node in self.nodes if value in node.output), None)

    def consumers(self, value: str) -> list[NodeProto]:
        """The nodes that have ``value`` as an input."""
        return [node for node in self.nodes if value in node.input]

    def feeds_one(self, node: NodeProto) -> bool:
        """Whether exactly one node uses the output of ``node``, and it is not an output of the graph."""
        return len(self.consumers(node.output[0])) == 1 and node.output[0] not in self.outputs

    def replace(self, old: NodeProto, new: list[NodeProto]) -> None:
        """Replace one node by others, or by none."""
        place = next(number for number, node in enumerate(self.nodes) if node is old)
        self.nodes[place : place + 1] = new


def rewrite(model: onnx.ModelProto) -> None:
    """Fold norms into convolutions, move activations next to them, and pool spatial means; in place."""
    graph = Graph(model)
    for node in list(graph.nodes):
        if node.op_type == "BatchNormalization":
            _fold_norm(graph, node)
        if node.op_type == "ReduceMean":
            _pool_globally(graph, node)
    for node in list(graph.nodes):
        if node.op_type in MONOTONE:
            _activate_before_pooling(graph, node)
    graph.write(model)


def quantize_remaining(model: onnx.ModelProto) -> None:
    """Rewrite norms and spatial means that quantization-aware training left between int8 values; in place."""
    graph = Graph(model)
    for node in list(graph.nodes):
        before = graph.producer(node.input[0]) if node.input else None
        if before is None or before.op_type != "DequantizeLinear":
            continue
        if node.op_type == "BatchNormalization":
            _quantize_norm(graph, node)
        if node.op_type == "ReduceMean":
            _pool_globally(graph, node)
    graph.write(model)


def stem_nodes(model: onnx.ModelProto) -> list[str]:
    """Names of nodes to keep in float: convolutions with few products per sum, and their pooling."""
    graph = Graph(model)
    stems = [node for node in graph.nodes if node.op_type == "Conv" and is_stem(graph, node)]
    return [node.name for stem in stems for node in (stem, *_until_pool(graph, stem))]


def is_stem(graph: Graph, convolution: NodeProto) -> bool:
    """Whether a convolution has one group and few products per sum, as the first one on images has."""
    weight = graph.constants.get(convolution.input[1])
    return weight is not None and attribute(convolution, "group", 1) == 1 and weight[0].size < FEW


def _fold_norm(graph: Graph, norm: NodeProto) -> None:
    """Fold y = a x + b into the convolution before it, also through a pooling if the two commute.

    Max pooling commutes only with a > 0. Otherwise the norm becomes a depthwise 1×1 convolution, which costs
    a pass but no conversion to float.
    """
    a, b = _scale_and_shift(graph, norm)
    pool = graph.producer(norm.input[0])
    through = pool is not None and pool.op_type in POOLS and _commutes(pool, a) and graph.feeds_one(pool)
    convolution = graph.producer(pool.input[0]) if through and pool is not None else pool
    if (
        convolution is None
        or convolution.op_type != "Conv"
        or convolution.input[1] not in graph.constants
        or not graph.feeds_one(convolution)
    ):
        graph.replace(norm, [_pointwise(graph, norm, a, b)])
        return
    _scale_convolution(graph, convolution, a, b)
    last = pool if through and pool is not None else convolution
    last.output[0] = norm.output[0]
    graph.replace(norm, [])


def _quantize_norm(graph: Graph, norm: NodeProto) -> None:
    """Replace a norm by an int8 depthwise 1×1 convolution.

    Such norms remain where a pooling separates them from their convolution. With one scale per channel, 127
    or -127 represents the factor exactly.
    """
    a, b = _scale_and_shift(graph, norm)
    convolution = _pointwise(graph, norm, a, b)
    names = [f"{norm.output[0]}.{part}" for part in ("rounded", "scale", "zero")]
    signs = np.where(a < 0, -127, 127).astype(np.int8).reshape(-1, 1, 1, 1)
    # A factor of zero has no scale; any small one will do.
    scales = np.maximum(np.abs(a) / 127, np.finfo(np.float32).tiny).astype(np.float32)
    graph.constants |= dict(zip(names, (signs, scales, np.zeros(len(a), np.int8)), strict=True))
    weight = convolution.input[1]
    del graph.constants[weight]
    exact = helper.make_node("DequantizeLinear", names, [weight], f"{weight}.exact", axis=0)
    graph.replace(norm, [exact, convolution])


def _scale_and_shift(graph: Graph, norm: NodeProto) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """a and b of y = a x + b for each channel, (C,) each."""
    gamma, beta, mean, variance = (graph.constants[name].astype(np.float64) for name in norm.input[1:5])
    a = gamma / np.sqrt(variance + attribute(norm, "epsilon", 1e-5))
    return a.astype(np.float32), (beta - mean * a).astype(np.float32)


def _commutes(pool: NodeProto, a: NDArray[np.float32]) -> bool:
    if pool.op_type == "MaxPool":
        return bool((a > 0).all())
    # In a mean that counts padding, b would count as zero.
    return not attribute(pool, "count_include_pad", 0)


def _pointwise(graph: Graph, norm: NodeProto, a: NDArray[np.float32], b: NDArray[np.float32]) -> NodeProto:
    weight, bias = f"{norm.output[0]}.a", f"{norm.output[0]}.b"
    graph.constants |= {weight: a.reshape(-1, 1, 1, 1), bias: b}
    inputs = [norm.input[0], weight, bias]
    return helper.make_node("Conv", inputs, norm.output[:1], norm.name, group=len(a), kernel_shape=[1, 1])


def _scale_convolution(
    graph: Graph, convolution: NodeProto, a: NDArray[np.float32], b: NDArray[np.float32]
) -> None:
    weight = graph.constants[convolution.input[1]]  # (out, in / groups, height, width)
    bias = graph.constants[convolution.input[2]] if len(convolution.input) > 2 else np.zeros_like(a)
    names = [f"{convolution.output[0]}.{part}" for part in ("weight", "bias")]
    graph.constants |= dict(zip(names, (weight * a.reshape(-1, 1, 1, 1), bias * a + b), strict=True))
    convolution.input[:] = [convolution.input[0], *names]


def _until_pool(graph: Graph, convolution: NodeProto) -> list[NodeProto]:
    """The nodes after a convolution up to its MaxPool, with at most one activation between; else []."""
    found: list[NodeProto] = []
    node = convolution
    while len(found) < 2 and graph.feeds_one(node):
        node = graph.consumers(node.output[0])[0]
        if node.op_type not in (*MONOTONE, "MaxPool"):
            return []
        found.append(node)
        if node.op_type == "MaxPool":
            return found
    return []


def _activate_before_pooling(graph: Graph, activation: NodeProto) -> None:
    """act(max(x)) = max(act(x)), and next to the convolution no int8 values are wasted on clipped ones."""
    pool = graph.producer(activation.input[0])
    if pool is None or pool.op_type != "MaxPool" or not graph.feeds_one(pool):
        return
    first, last = _copy(activation), _copy(pool)
    first.input[0], first.output[0] = pool.input[0], pool.output[0]
    last.input[0], last.output[0] = pool.output[0], activation.output[0]
    graph.replace(pool, [first])
    graph.replace(activation, [last])


def _pool_globally(graph: Graph, mean: NodeProto) -> None:
    """Replace a mean over height and width."""
    axes = graph.constants.get(mean.input[1]) if len(mean.input) > 1 else None
    if axes is None or sorted(axes.tolist()) not in ([2, 3], [-2, -1]):
        return
    value, name = mean.output[0], mean.name
    if attribute(mean, "keepdims", 1):
        graph.replace(mean, [helper.make_node("GlobalAveragePool", mean.input[:1], [value], name)])
        return
    pooled = f"{value}.pooled"
    graph.replace(
        mean,
        [
            helper.make_node("GlobalAveragePool", mean.input[:1], [pooled], name),
            helper.make_node("Flatten", [pooled], [value], f"{name}.flatten", axis=1),
        ],
    )


def attribute(node: NodeProto, name: str, default: float) -> float:
    """The value of a numeric attribute."""
    found = [each for each in node.attribute if each.name == name]
    return float(helper.get_attribute_value(found[0])) if found else default


def _copy(node: NodeProto) -> NodeProto:
    copy = NodeProto()
    copy.CopyFrom(node)
    return copy
