"""A network with the normalization that it was trained with, and the temperature of its logits."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class NormalizedModel(nn.Module):
    """Takes stored images, uint8 (B, C, H, W), and gives logits (B, K)."""

    shift: Tensor
    scale: Tensor

    def __init__(
        self, network: nn.Module, shift: Sequence[float], scale: Sequence[float], temperature: float = 1.0
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.network = network
        self.register_buffer("shift", channel_tensor(shift))
        self.register_buffer("scale", channel_tensor(scale))

    def forward(self, images: Tensor) -> Tensor:
        pixels = images.to(self.shift.dtype) / 255  # 0…1
        logits: Tensor = self.network((pixels - self.shift) / self.scale)
        return logits if self.temperature == 1 else logits / self.temperature


def channel_tensor(values: Sequence[float]) -> Tensor:
    """One value per channel as float32 (1, C, 1, 1), to be broadcast over a batch."""
    return torch.tensor(list(values), dtype=torch.float32).view(1, -1, 1, 1)
