"""Which parts of a network are trained, and which keep the weights that they started from.

A frozen layer keeps its bytes: its parameters take no gradient, and it stays in evaluation mode, so that the
running statistics of its batch norms do not move either.
"""

from typing import Any

from timm.models import group_parameters
from torch import nn

from src.config.schema.train import TransferLearning
from src.models.head import head_names


def freeze(network: nn.Module, finetune: TransferLearning, epoch: int) -> None:
    """Let only what ``finetune`` says take gradients in ``epoch`` (0 is the first)
    and put the layers that are frozen into evaluation mode.

    Args:
        finetune: ``all``, ``head``, the ``last`` stages, or ``gradual``: the head first, then another stage
            from the top at each epoch of ``unfreeze_epochs`` (Howard and Ruder, ULMFiT, 2018).
    """
    if finetune.layers == "all":
        return
    trained = trained_names(network, finetune, epoch)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in trained)
    for part in network.modules():
        own = list(part.parameters(recurse=False))
        if own:
            part.training = any(parameter.requires_grad for parameter in own)


def trained_names(network: nn.Module, finetune: TransferLearning, epoch: int) -> set[str]:
    """Names of the parameters that are trained in ``epoch``."""
    names = [name for name, _ in network.named_parameters()]
    if finetune.layers == "all":
        return set(names)
    heads = tuple(f"{head}." for head in head_names(network))
    trained = {name for name in names if name.startswith(heads)}
    if finetune.layers == "head":
        return trained
    stages = [stage for stage in stages_of(network) if not trained.issuperset(stage)]
    count = _stages_above(finetune, epoch)
    return trained.union(*(stages[len(stages) - count :] if count < len(stages) else stages))


def stages_of(network: nn.Module) -> list[list[str]]:
    """Names of the parameters of each stage, from the input to the head."""
    matcher: Any = network.group_matcher
    return list(group_parameters(network, matcher(coarse=True)).values())


def _stages_above(finetune: TransferLearning, epoch: int) -> int:
    """How many stages below the head are trained."""
    if finetune.layers == "last":
        return finetune.stages
    return sum(start <= epoch + 1 for start in finetune.unfreeze_epochs)
