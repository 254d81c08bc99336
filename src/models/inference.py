"""Logits of a trained network for stored images."""

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from src.core.progress import progress_bar
from src.models.normalization import NormalizedModel
from src.models.numerics import choose_device
from src.models.saving import ModelSpec


def predict_logits(
    network: nn.Module,
    spec: ModelSpec,
    images: npt.NDArray[np.uint8],
    rows: npt.NDArray[np.int64],
    batch_size: int = 512,
    device: str = "auto",
    show: bool = False,
) -> npt.NDArray[np.float32]:
    """Logits (n, K) of images (N, C, H, W) at ``rows`` (n,), in float32 and in the order of ``rows``.

    The network stays on the device and in evaluation mode.
    """
    place = choose_device(device)
    shift, scale = spec.normalization.shift, spec.normalization.scale
    whole = NormalizedModel(network, shift, scale, spec.temperature).eval()
    whole = whole.to(place, memory_format=torch.channels_last)  # type: ignore[call-overload]
    logits = np.empty((len(rows), len(spec.classes)), dtype=np.float32)
    with progress_bar("Predicting", total=len(rows), show=show) as advance, torch.inference_mode():
        for start in range(0, len(rows), batch_size):
            some = rows[start : start + batch_size]
            batch = torch.from_numpy(images[some]).to(place)
            batch = batch.contiguous(memory_format=torch.channels_last)
            logits[start : start + len(some)] = whole(batch).cpu().numpy()
            advance(len(some))
    return logits
