"""The head of a network: the layer that turns features into logits."""

from torch import nn


def head_names(network: nn.Module) -> tuple[str, ...]:
    """Names of the modules that give the logits: as timm says, else the last linear layer."""
    said = getattr(network, "pretrained_cfg", {}).get("classifier")
    if said:
        return (said,) if isinstance(said, str) else tuple(said)
    linear = [name for name, part in network.named_modules() if isinstance(part, nn.Linear)]
    return tuple(linear[-1:])
