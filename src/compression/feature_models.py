"""Heads that were fitted to features: a step that changes the features would leave them behind."""

from torch import nn

from src.compression.onnx.library_errors import UnsupportedModelError
from src.models.networks.feature_heads import KnnHead, RowHead


def refuse_row_head(network: nn.Module, step: str) -> None:
    """Raise UnsupportedModelError for a network whose head keeps features of training images."""
    if any(isinstance(part, RowHead) for part in network.modules()):
        raise UnsupportedModelError(
            f"{step} does not support a head that keeps features of training images (svm, knn): it would "
            "change the features, and the head cannot be trained to follow"
        )


def jumps(network: nn.Module) -> bool:
    """Whether a rounding error can change a logit by a whole vote: that of another neighbor."""
    return any(isinstance(part, KnnHead) for part in network.modules())
