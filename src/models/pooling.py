"""A deterministic gradient of adaptive average pooling on a GPU, where torch has none.

AlexNet and VGG average their last feature map to a fixed size, and could not be trained there without it.
"""

import warnings
from functools import cache

import torch
from torch import Tensor


@cache
def register_pooling_gradient(device: str = "CUDA") -> torch.library.Library:
    """Let torch use ``pooling_gradient`` on all devices of this kind, for as long as the process lives."""
    library = torch.library.Library("aten", "IMPL")  # type: ignore[no-untyped-call]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Warning only once for all operators", UserWarning)
        name = "_adaptive_avg_pool2d_backward"
        library.impl(name, pooling_gradient, device, allow_override=True)  # type: ignore[no-untyped-call]
    return library


def pooling_gradient(gradient: Tensor, images: Tensor) -> Tensor:
    """The gradient of what was pooled, as large as ``images`` (..., H, W).

    Pooling multiplies by a matrix of weights from the left and by another from the right. So does its
    gradient, with both transposed, and products of matrices are deterministic.

    Args:
        gradient: (..., h, w), of the averages.
        images: (..., H, W), what was averaged.
    """
    sides = zip(images.shape[-2:], gradient.shape[-2:], strict=True)
    rows, columns = (_weights(side, averages, gradient.device) for side, averages in sides)
    return (rows.T @ gradient.float() @ columns).to(gradient.dtype)


def _weights(side: int, averages: int, device: torch.device) -> Tensor:
    """(averages, side): the share of each row of pixels in each average; windows overlap as torch's do."""
    place = torch.arange(side, device=device)
    window = torch.arange(averages, device=device)[:, None]
    first, end = window * side // averages, ((window + 1) * side + averages - 1) // averages
    inside = (place >= first) & (place < end)
    return inside / inside.sum(dim=1, keepdim=True)
