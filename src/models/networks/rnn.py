"""Recurrent networks (Elman, 1990; LSTM: Hochreiter and Schmidhuber, 1997; GRU: Cho et al., 2014)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from src.config.schema.model import Rnn

CELLS: dict[str, Callable[..., nn.RNNBase]] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


def create_rnn(model: Rnn, channels: int, classes: int, image_size: tuple[int, int]) -> "RowReader":
    """Takes (B, channels, H, W), gives logits (B, classes)."""
    return RowReader(model, channels * image_size[1], classes)


class RowReader(nn.Module):
    """Reads an image as a sequence of rows and classifies the last state of the last layer."""

    def __init__(self, model: Rnn, row: int, classes: int) -> None:
        super().__init__()
        self.directions = 2 if model.bidirectional else 1
        self.recurrent = CELLS[model.cell](
            row,
            model.units,
            model.layers,
            batch_first=True,
            # Between layers; torch warns about it where there is one layer only.
            dropout=model.dropout if model.layers > 1 else 0.0,
            bidirectional=model.bidirectional,
        )
        self.dropout = nn.Dropout(model.dropout)
        self.classifier = nn.Linear(model.units * self.directions, classes)

    def forward(self, images: Tensor) -> Tensor:
        rows = images.transpose(1, 2).flatten(2)  # (B, H, channels · W)
        with _torch_kernels():
            _, state = self.recurrent(rows)
        hidden = state[0] if isinstance(state, tuple) else state  # an LSTM also has a cell state
        last = hidden[-self.directions :].transpose(0, 1).flatten(1)  # (B, directions · units)
        logits: Tensor = self.classifier(self.dropout(last))
        return logits


@contextmanager
def _torch_kernels() -> Iterator[None]:
    """Without oneDNN, whose LSTM differs between Intel and AMD CPUs even if both are held to AVX2."""
    before = torch.backends.mkldnn.enabled
    torch.backends.mkldnn.enabled = False  # type: ignore[assignment]  # torch types it as its descriptor
    try:
        yield
    finally:
        torch.backends.mkldnn.enabled = before
