"""The step that trains with int8 rounding in the forward pass (Jacob et al., 2018), with torchao's pt2e."""

import copy
from typing import cast

import torch
from torch import Tensor, fx, nn
from torchao.quantization.pt2e import disable_observer, enable_observer
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_qat_pt2e
from torchao.quantization.pt2e.quantizer import (
    QuantizationAnnotation,
    QuantizationSpec,
    Quantizer,
    SharedQuantizationSpec,
)
from torchao.quantization.pt2e.quantizer.quantizer import Q_ANNOTATION_KEY
from torchao.quantization.pt2e.quantizer.x86_inductor_quantizer import (
    get_default_x86_inductor_quantization_config,
)

from src.compression.artifacts import StepContext, TorchModel
from src.compression.feature_models import refuse_row_head
from src.compression.fine_tune import fine_tuning_config, make_task
from src.compression.onnx.graph_rewrite import FEW
from src.compression.onnx.library_errors import UnsupportedModelError, translate_errors
from src.compression.recurrent import refuse_recurrent
from src.config.schema.compress import QuantizeAwareTrain
from src.models.normalization import channel_tensor
from src.training.fine_tuning import FineTuning
from src.training.fit import fit
from src.training.task import TrainingTask

LIBRARY = "torchao's quantization-aware training"
EPSILON = 1e-5  # of a batch norm: torchao supports no other
NORM, DROPOUT = torch.ops.aten.batch_norm.default, torch.ops.aten.dropout.default
TRAINING = {NORM: 5, DROPOUT: 2}  # operator: position of its argument `training`
CONVOLUTION, MAX_POOL = torch.ops.aten.conv2d.default, torch.ops.aten.max_pool2d.default
PRODUCTS = (CONVOLUTION, torch.ops.aten.linear.default)
SUMS = (torch.ops.aten.add.Tensor, torch.ops.aten.add_.Tensor)
ACTIVATIONS = (
    *(torch.ops.aten.relu.default, torch.ops.aten.relu_.default),
    *(torch.ops.aten.hardtanh.default, torch.ops.aten.hardtanh_.default),
)
PROBES = 256  # training images on which the converted network must agree with the trained one


def quantize_aware_train(model: TorchModel, step: QuantizeAwareTrain, context: StepContext) -> TorchModel:
    """Train the network with int8 rounding, and convert it to int8.

    Raises:
        UnsupportedModelError: torch cannot export the network, or torchao cannot quantize it.
    """
    task, fine_tuning = make_training(model, step, context)
    fitted = fit(task, context.state, context.device, context.show, fine_tuning=fine_tuning)
    trained = cast(ExportedNetwork, fitted.network)
    with translate_errors(LIBRARY):
        network = convert(trained, _probes(context, PROBES))
    return TorchModel(network, model.spec, before_int8=model.network)


def make_training(
    model: TorchModel, step: QuantizeAwareTrain, context: StepContext
) -> tuple[TrainingTask, FineTuning]:
    """The training for ``fit``. Raises UnsupportedModelError as ``quantize_aware_train`` does."""
    refuse_row_head(model.network, "quantize_aware_train")
    refuse_recurrent(model.network, "quantize_aware_train", "torchao rounds no weights of theirs")
    with translate_errors(LIBRARY):
        prepared = prepare(model, _probes(context, 2))
    # fp32, and no averaged weights: averaged ranges would be meaningless.
    train = fine_tuning_config(context.train, step.epochs, step.lr).model_copy(
        update={"precision": "fp32", "ema_decay": 0.0, "swa_start": 0.0}
    )
    return make_task(model.spec, train, context), FineTuning(network=prepared)


class DeploymentQuantizer(Quantizer):  # type: ignore[misc]  # the library has no types
    """Rounds where ONNX Runtime's kernels do: before and after convolutions and sums, before linear layers.

    torchao's own quantizers for CPUs keep a convolution in float if a sum follows it, which Inductor fuses
    and ONNX Runtime does not.
    """

    def annotate(self, model: fx.GraphModule) -> fx.GraphModule:
        config = get_default_x86_inductor_quantization_config(is_qat=True)
        values, weights = config.input_activation, config.weight
        for node in model.graph.nodes:
            if node.target in PRODUCTS and not _is_stem(node):
                _annotate(node, {node.args[0]: values, node.args[1]: weights})
            if node.target is CONVOLUTION and not _is_stem(node):
                _annotate_end(node, values)
            if node.target in SUMS and all(_is_image(each) for each in node.args[:2]):
                _annotate(node, dict.fromkeys(node.args[:2], values))
                _annotate_end(node, values)
            if node.target is MAX_POOL and Q_ANNOTATION_KEY in node.args[0].meta:
                same = SharedQuantizationSpec((node.args[0], node))
                _annotate(node, {node.args[0]: values}, same)
        return model

    def validate(self, model: fx.GraphModule) -> None:
        """Everything is accepted."""


class ExportedNetwork(nn.Module):
    """A network as a graph of operators, which switches between training and evaluation as others do.

    In a graph the mode is an argument of each norm and dropout, and torchao's function that changes it loses
    their other arguments. In evaluation the observed ranges do not change, so that validation images leave no
    trace in them.
    """

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__()
        self.graph_module = graph
        self.graph_trains: bool | None = None  # unknown
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        # Here and not only in train(): Lightning sets the attribute `training` after a validation, and
        # loading a checkpoint sets the switches of the observers.
        self._follow_mode()
        logits: Tensor = self.graph_module(x)
        return logits

    def train(self, mode: bool = True) -> "ExportedNetwork":
        """Set the mode of this module only: setting that of the graph raises an error."""
        self.training = mode
        self._follow_mode()
        return self

    def _follow_mode(self) -> None:
        self.graph_module.apply(enable_observer if self.training else disable_observer)
        if self.graph_trains is self.training:
            return
        for node in self.graph_module.graph.nodes:
            if node.target in TRAINING:
                node.update_arg(TRAINING[node.target], self.training)
        self.graph_module.recompile()
        self.graph_trains = self.training


def prepare(model: TorchModel, images: Tensor) -> ExportedNetwork:
    """Copy the network to one that rounds weights and activations.

    Args:
        model: the network.
        images: normalized, (B, C, H, W).
    """
    network = copy.deepcopy(model.network)
    _adapt_batch_norms(network)
    program = torch.export.export(
        network.train(), (images,), dynamic_shapes=({0: torch.export.Dim("batch")},), strict=False
    )
    graph = program.module(check_guards=False)
    prepared = ExportedNetwork(prepare_qat_pt2e(graph, DeploymentQuantizer()))
    # Initialize the ranges: without a shape they could not be loaded from a checkpoint.
    prepared.graph_module.apply(enable_observer)
    with torch.no_grad():
        prepared.graph_module(images)
    prepared.eval()
    return prepared


def convert(trained: ExportedNetwork, images: Tensor) -> ExportedNetwork:
    """Convert to int8 weights, with the norms folded into them.

    Raises:
        UnsupportedModelError: the result disagrees with the trained network on ``images``.
    """
    trained.eval()
    with torch.no_grad():
        expected = trained(images).argmax(1)
        # In channels-last, torch exports a mean and its flattening with extra transpositions.
        plain = copy.deepcopy(trained.graph_module)
        plain.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        converted = ExportedNetwork(convert_pt2e(plain))
        equal = float((converted(images).argmax(1) == expected).float().mean())
    if equal < 0.9:
        raise UnsupportedModelError(
            f"{LIBRARY} does not support this model: the converted network agrees with the trained one on "
            f"only {equal:.2f} of {len(images)} training images"
        )
    return converted


@torch.no_grad()
def _adapt_batch_norms(network: nn.Module) -> None:
    """Change norms, but not the function, to what torchao expects: its epsilon, and no scale of zero."""
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d) and part.running_var is not None:
            part.running_var += part.eps - EPSILON
            part.eps = EPSILON
            if part.weight is not None:
                part.weight[part.weight == 0] = EPSILON  # torchao divides by it


def _annotate(
    node: fx.Node,
    inputs: dict[fx.Node, QuantizationSpec],
    output: QuantizationSpec | SharedQuantizationSpec | None = None,
) -> None:
    node.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(
        input_qspec_map=inputs, output_qspec=output, _annotated=True
    )


def _annotate_end(node: fx.Node, values: QuantizationSpec) -> None:
    """Round the output of ``node`` after the norm and the activation that belong to its kernel."""
    end = node
    for part in ((NORM,), ACTIVATIONS):
        users = list(end.users)
        if len(users) == 1 and users[0].target in part:
            end = users[0]
    if end is node:
        node.meta[Q_ANNOTATION_KEY].output_qspec = values
    else:
        _annotate(end, {}, values)


def _is_stem(node: fx.Node) -> bool:
    """Whether it is a convolution with few products per sum and a pooling after it: faster in float."""
    weight = cast(fx.Node, node.args[1]).meta["val"]
    pooled = [user.target for user in node.users] == [MAX_POOL]
    return pooled and weight.ndim == 4 and weight[0].numel() < FEW


def _is_image(value: object) -> bool:
    return isinstance(value, fx.Node) and getattr(value.meta.get("val"), "ndim", 0) == 4


def _probes(context: StepContext, count: int) -> Tensor:
    """The first training images, normalized."""
    normalization = context.base.spec.normalization
    pixels = torch.from_numpy(context.images[context.train_rows[:count]]).float() / 255
    return (pixels - channel_tensor(normalization.shift)) / channel_tensor(normalization.scale)
