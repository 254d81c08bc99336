"""Recurrent layers, which most steps do not know."""

from torch import nn

from src.compression.onnx.library_errors import UnsupportedModelError


def refuse_recurrent(network: nn.Module, step: str, reason: str) -> None:
    """Raise UnsupportedModelError for a network with recurrent layers (RNN, LSTM, GRU)."""
    found = sorted({type(part).__name__ for part in network.modules() if isinstance(part, nn.RNNBase)})
    if found:
        raise UnsupportedModelError(
            f"{step} does not support recurrent layers ({', '.join(found)}): {reason}"
        )
