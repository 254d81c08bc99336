"""Steps that remove weights: single ones, which keeps the shape of the network, or whole channels."""

import copy
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch_pruning
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import prune

from src.compression.artifacts import StepContext, TorchModel
from src.compression.feature_models import refuse_row_head
from src.compression.onnx.library_errors import UnsupportedModelError
from src.compression.recurrent import refuse_recurrent
from src.config.schema.compress import PruneStructured, PruneUnstructured

SCORES: dict[str, Callable[[Tensor], Tensor]] = {  # the lowest are removed
    "magnitude": torch.abs,
    "random": lambda weight: torch.rand_like(weight) * (weight != 0),
}
IMPORTANCE = {
    "magnitude": lambda: torch_pruning.importance.GroupMagnitudeImportance(p=2),
    "batch_norm": torch_pruning.importance.BNScaleImportance,  # network slimming (Liu et al., 2017)
    "taylor": torch_pruning.importance.GroupTaylorImportance,  # Molchanov et al., 2019
    "fpgm": torch_pruning.importance.FPGMImportance,  # distance to the geometric median (He et al., 2019)
    "random": torch_pruning.importance.RandomImportance,
}
BATCH, BATCHES = 64, 8  # training images for the gradients of Taylor's criterion


def prune_unstructured(model: TorchModel, step: PruneUnstructured, context: StepContext) -> TorchModel:
    """Set the share ``step.ratio`` of all weights of convolutions and linear layers to zero.

    The weights of all layers are ranked together (Han et al., 2015). The masks of the result keep the zeros.
    Weights that are already zero rank lowest, so that a second pruning adds to the first.

    Raises:
        UnsupportedModelError: the network has recurrent layers, or a head that keeps features.
    """
    refuse_row_head(model.network, "prune_unstructured")
    refuse_recurrent(
        model.network, "prune_unstructured", "it sets weights of convolutions and linear layers to zero"
    )
    network = copy.deepcopy(model.network)
    network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # torch's pruning uses views
    layers = {name: part for name, part in network.named_modules() if isinstance(part, nn.Conv2d | nn.Linear)}
    torch.manual_seed(context.seed)  # for the criterion random
    scores = {(part, "weight"): SCORES[step.criterion](part.weight.detach()) for part in layers.values()}
    prune.global_unstructured(list(scores), prune.L1Unstructured, importance_scores=scores, amount=step.ratio)
    for part, name in scores:
        prune.remove(part, name)  # type: ignore[no-untyped-call]
    masks = {f"{name}.weight": part.weight.detach() != 0 for name, part in layers.items()}
    return TorchModel(network, model.spec, masks)


def prune_structured(model: TorchModel, step: PruneStructured, context: StepContext) -> TorchModel:
    """Remove the share ``step.ratio`` of the channels of each layer, with everything that depends on them.

    Layers that are added or concatenated lose the same channels (DepGraph, Fang et al., 2023). The classifier
    keeps its outputs, and attention its heads.

    Raises:
        UnsupportedModelError: the network cannot be traced, or does not run without these channels.
    """
    refuse_row_head(model.network, "prune_structured")
    refuse_recurrent(
        model.network, "prune_structured", "a unit's weights are spread over all gates and steps"
    )
    network = copy.deepcopy(model.network)
    before = sum(parameter.numel() for parameter in network.parameters())
    torch.manual_seed(context.seed)  # for the criterion random
    try:
        with warnings.catch_warnings():  # about parameters outside of layers, which every transformer has
            warnings.filterwarnings("ignore", message="Unwrapped parameters")
            _remove_channels(network, model, step, context)
        network(_example(model))
    except (RuntimeError, ValueError, IndexError, KeyError, AttributeError, NotImplementedError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UnsupportedModelError(f"prune_structured cannot prune this network: {reason}") from error
    if sum(parameter.numel() for parameter in network.parameters()) == before:
        raise UnsupportedModelError(f"prune_structured found no channel to remove at ratio={step.ratio}")
    return TorchModel(network.eval(), model.spec)


def _remove_channels(
    network: nn.Module, model: TorchModel, step: PruneStructured, context: StepContext
) -> None:
    pruner = torch_pruning.pruner.BasePruner(
        network,
        _example(model),
        importance=IMPORTANCE[step.criterion](),
        pruning_ratio=step.ratio,
        iterative_steps=step.iterations,
        ignored_layers=list(_layers_to_keep(network, len(model.spec.classes))),
    )
    for _ in range(step.iterations):
        if step.criterion == "taylor":
            _add_gradients(network, model, context)
        pruner.step()
        network.zero_grad(set_to_none=True)


def _layers_to_keep(network: nn.Module, classes: int) -> Iterator[nn.Module]:
    """Layers that keep all their outputs: the classifier, and those that are split into attention heads."""
    linear = [(name, part) for name, part in network.named_modules() if isinstance(part, nn.Linear)]
    for name, part in linear:
        if name.endswith("qkv") or (part is linear[-1][1] and part.out_features == classes):
            yield part
    if not linear or linear[-1][1].out_features != classes:  # the classifier may be a convolution
        yield from [part for part in network.modules() if isinstance(part, nn.Conv2d)][-1:]


def _add_gradients(network: nn.Module, model: TorchModel, context: StepContext) -> None:
    """Add up gradients of the loss on some training images. The statistics of batch norms do not change."""
    normalized = TorchModel(network, model.spec).normalized()
    random = np.random.default_rng(context.seed)
    count = min(BATCH * BATCHES, len(context.train_rows))
    rows = np.sort(random.choice(context.train_rows, count, replace=False))
    for batch in np.array_split(rows, max(1, count // BATCH)):
        logits = normalized(torch.from_numpy(context.images[batch]))
        functional.cross_entropy(logits, torch.from_numpy(context.targets[batch])).backward()  # type: ignore[no-untyped-call]


def _example(model: TorchModel) -> Tensor:
    """One black image (1, C, H, W)."""
    image = model.spec.input
    return torch.zeros(1, image.channels, image.height, image.width)
