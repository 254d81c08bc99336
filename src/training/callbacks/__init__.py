"""Lightning callbacks for ``train.callbacks``: import each one here, so that DVC sees the training use it."""

from src.training.callbacks.gradient_norm import GradientNorm

__all__ = ["GradientNorm"]
