"""Networks that answer several times and give one answer, by soft voting: the mean of the probabilities.

Their logits are the logarithms of that mean, so softmax gives it back and whatever takes logits works as
before. The members and views vote with their probabilities as they are. One temperature is fitted to the
result, like that of every variant, because a mean of calibrated probabilities is underconfident (Rahaman and
Thiery, 2021).
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from src.config.schema.compress import FlippedView, OriginalView, ShiftedView, View

SIDES = {"vertical": 2, "horizontal": 3}  # the axis of (B, C, H, W) that a flip reverses


def log_mean_probability(logits: Tensor) -> Tensor:
    """Logarithm of the mean over V of the softmaxes, (B, K) float32, of logits (V, B, K) float64.

    In float64: rounding then removes the last bits, in which kernels for other CPUs may differ, and ONNX
    Runtime's quantizer, which would leave 256 values of the votes, changes float32 only.
    """
    return (logits.log_softmax(2).logsumexp(0) - math.log(len(logits))).float()


class EnsembleNetwork(nn.Module):
    """Networks that take the same images, (B, C, H, W), and vote."""

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x: Tensor) -> Tensor:
        return log_mean_probability(torch.stack([member(x).double() for member in self.members]))


class MultiViewNetwork(nn.Module):
    """A network that sees several views of an image, and whose answers for them vote.

    The views go through the network as one batch: it is in an exported graph once.
    """

    black: Tensor

    def __init__(self, network: nn.Module, views: Sequence[View], black: Tensor) -> None:
        """``black``, (1, C, 1, 1), is the value of a black pixel after normalization."""
        super().__init__()
        self.network = network
        self.views = list(views)
        self.register_buffer("black", black)

    def forward(self, x: Tensor) -> Tensor:
        # x.shape[0]: len(x) would fix the number of images in an export.
        logits = self.network(torch.cat([self._look(x, view) for view in self.views])).double()
        return log_mean_probability(logits.reshape(len(self.views), x.shape[0], -1))

    def _look(self, x: Tensor, view: View) -> Tensor:
        match view:
            case OriginalView():
                return x
            case FlippedView():
                return x.flip(SIDES[view.axis])
            case ShiftedView():
                return _shift(_shift(x, view.down, 2, self.black), view.right, 3, self.black)


def _shift(x: Tensor, pixels: int, axis: int, black: Tensor) -> Tensor:
    """Move images (B, C, H, W) along an axis; what comes in is black, as with the augmentation ``crop``."""
    side = x.shape[axis]
    kept = x.narrow(axis, max(0, -pixels), side - abs(pixels))
    border = black.expand_as(x.narrow(axis, 0, abs(pixels)))
    return torch.cat([border, kept] if pixels > 0 else [kept, border], axis)
