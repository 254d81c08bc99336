"""What a training minimizes, and how much the images of each class count in it."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from src.config.schema.train import Train
from src.config.suggestions import did_you_mean
from src.core.errors import AssayError

SMALLEST = 1e-7  # of 1 - p in the focal loss, whose gradient is undefined at 0


def classification_loss(
    logits: Tensor, targets: Tensor, train: Train, weights: Tensor | None = None
) -> Tensor:
    """The loss that ``train.loss`` names: a scalar, the mean over the images of a batch.

    Args:
        logits: (B, K).
        targets: Classes (B,), or shares of the classes (B, K) as mixup makes them.
        train: Names the loss, with its label smoothing and gamma.
        weights: Of the classes, (K,). They are not divided by their sum over the batch, so that an image
            counts as much in every batch. None: all are 1.
    """
    if train.loss.name == "cross_entropy":
        return _cross_entropy(logits, targets, train.label_smoothing, weights)
    truth = targets if targets.is_floating_point() else one_hot(targets, logits.shape[1])
    losses = _losses(logits, truth, train)
    return losses.mean() if weights is None else (losses * (truth * weights).sum(1)).mean()


def one_hot(targets: Tensor, classes: int) -> Tensor:
    """(B,) classes as (B, K) float32: 1 for the class and 0 elsewhere."""
    return functional.one_hot(targets, classes).float()


def class_weights(train: Train, targets: NDArray[np.int64], classes: Sequence[str]) -> list[float] | None:
    """The weight of each class, (K,), or None if all count the same.

    ``balanced`` is n / (K * images of the class). ``effective_number`` is (1 - beta) / (1 - beta^images),
    scaled so that the mean over the classes is 1 (Cui et al., 2019, equation 4). A class without images
    has the weight 0 and is left out of K.

    Args:
        train: Names the rule.
        targets: Classes of the training images (n,), which alone decide.
        classes: Their names (K).

    Raises:
        AssayError: The configuration has a weight for a class that does not exist, or leaves nothing to
            learn from.
    """
    choice, beta = train.class_weights, train.class_weights_beta
    if choice == "none":
        return None
    if isinstance(choice, dict):
        _refuse_unknown([str(name) for name in choice], classes)
        weights = [float(choice.get(name, 1.0)) for name in classes]
        _refuse_nothing(weights, targets, classes)
        return weights
    counts = [int(count) for count in np.bincount(targets, minlength=len(classes))]
    if choice == "balanced":
        raw = [1 / count if count else 0.0 for count in counts]
        scale = len(targets) / np.count_nonzero(counts)
    else:
        raw = [(1 - beta) / (1 - beta**count) if count else 0.0 for count in counts]
        scale = np.count_nonzero(counts) / sum(raw)
    return [float(weight * scale) for weight in raw]


def _refuse_unknown(named: Sequence[str], classes: Sequence[str]) -> None:
    unknown = [f"{name}{did_you_mean(name, classes)}" for name in named if name not in classes]
    if unknown:
        raise AssayError(
            f"train.class_weights names {', '.join(unknown)}, but the classes are {', '.join(classes)}"
        )


def _refuse_nothing(weights: Sequence[float], targets: NDArray[np.int64], classes: Sequence[str]) -> None:
    counted = [name for target, name in enumerate(classes) if weights[target] and np.any(targets == target)]
    if len(counted) < 2:
        raise AssayError(
            "train.class_weights gives the weight 0 to all classes with training images "
            f"{f'but {counted[0]}' if counted else ''}".rstrip()
            + ", so there is nothing to tell apart: give at least two of them a weight above 0"
        )


def _cross_entropy(logits: Tensor, targets: Tensor, smoothing: float, weights: Tensor | None) -> Tensor:
    """Label smoothing spreads a share over all classes (Szegedy et al., 2016, section 7)."""
    if weights is None:
        return functional.cross_entropy(logits, targets, label_smoothing=smoothing)
    total = functional.cross_entropy(
        logits, targets, weight=weights, label_smoothing=smoothing, reduction="sum"
    )
    return total / len(logits)


def _losses(logits: Tensor, truth: Tensor, train: Train) -> Tensor:
    """Of each image, (B,)."""
    match train.loss.name:
        case "binary_cross_entropy":
            return _binary_cross_entropy(logits, truth, train.label_smoothing)
        case "mean_squared_error":
            return (logits.softmax(1) - truth).square().mean(1)
        case _:
            return _focal(logits, truth, train.loss.gamma)


def _binary_cross_entropy(logits: Tensor, truth: Tensor, smoothing: float) -> Tensor:
    """One sigmoid for each class, mean over the classes (Wightman et al., 2021, section 2.2)."""
    smooth = truth * (1 - smoothing) + smoothing / logits.shape[1]
    return functional.binary_cross_entropy_with_logits(logits, smooth, reduction="none").mean(1)


def _focal(logits: Tensor, truth: Tensor, gamma: float) -> Tensor:
    """-(1 - p)^gamma * log(p) of the true class (Lin et al., 2017, equation 4)."""
    log_p = logits.log_softmax(1)
    hard = (1 - log_p.exp()).clamp(min=SMALLEST)
    # Not hard**gamma: torch takes a square root for some powers, and that differs by CPU (docs/portable.md).
    return -(truth * (gamma * hard.log()).exp() * log_p).sum(1)


def l1_norm(network: nn.Module) -> Tensor:
    """Sum of the absolute weights of a network, without norms and biases, as for weight decay."""
    return torch.stack([weight.abs().sum() for weight in network.parameters() if weight.ndim > 1]).sum()
