"""What the validation images say of an epoch, from logits in fp32."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from src.core.errors import AssayError
from src.core.metric_names import ALWAYS, class_of
from src.core.wording import counted
from src.evaluation.metrics.by_name import metric_value, refuse_unknown_classes
from src.evaluation.metrics.classification import Integers, softmax


class ValidationMetrics:
    """``val/loss`` and ``val/accuracy``, and other metrics only if they are asked for.

    Sums stay on the device until the epoch ends. The other metrics need all logits, so these are kept.

    Args:
        names: Of the other metrics, such as ``val/f1_macro``; those that are always measured are ignored.
        classes: Names of the classes, K.
    """

    def __init__(self, names: Sequence[str], classes: Sequence[str]) -> None:
        self.names = [name for name in dict.fromkeys(names) if name not in ALWAYS]
        self.classes = classes

    def start(self, device: torch.device) -> None:
        """Begin an epoch."""
        self._loss_sum = torch.zeros((), dtype=torch.float64, device=device)
        self._correct = torch.zeros((), dtype=torch.int64, device=device)
        self._count = 0
        self._kept: list[tuple[Tensor, Tensor]] = []

    def update(self, logits: Tensor, targets: Tensor) -> None:
        """Add a batch: (B, K) and (B,)."""
        self._loss_sum += functional.cross_entropy(logits, targets, reduction="sum")
        self._correct += (logits.argmax(1) == targets).sum()
        self._count += len(targets)
        if self.names:
            self._kept.append((logits, targets))

    def compute(self) -> dict[str, float]:
        """The metrics by name; the loss may be infinite or NaN, the others are defined.

        Raises:
            AssayError: A metric is undefined for these images.
        """
        loss = float(self._loss_sum) / self._count
        found = {"val/loss": loss, "val/accuracy": int(self._correct) / self._count}
        return found | (self._others() if np.isfinite(loss) else {})

    def _others(self) -> dict[str, float]:
        if not self.names:
            return {}
        logits, targets = (torch.cat(parts).cpu().numpy() for parts in zip(*self._kept, strict=True))
        probabilities = softmax(logits)
        found = {name: metric_value(name, probabilities, targets, self.classes) for name in self.names}
        undefined = [name for name, value in found.items() if np.isnan(value)]
        if undefined:
            raise AssayError(
                f"{', '.join(undefined)} is undefined for {counted(self._count, 'validation image')}, which "
                "lack a class: take another metric, or more validation images (split.val)"
            )
        return found


def check_metrics(names: Sequence[str], targets: Integers, classes: Sequence[str]) -> None:
    """Refuse metrics of one class that is unknown or has no image.

    Args:
        names: Of the metrics.
        targets: Of the validation images (n,).
        classes: Names of the classes, K.

    Raises:
        AssayError: There are such metrics.
    """
    refuse_unknown_classes(names, classes)
    empty = [name for name in names if (of_class := class_of(name)) and not _has(of_class, targets, classes)]
    if empty:
        raise AssayError(
            f"{', '.join(empty)}: the validation split has no image of the class. Take another metric, or "
            "more validation images (split.val)"
        )


def _has(of_class: str, targets: Integers, classes: Sequence[str]) -> bool:
    return bool(np.any(targets == classes.index(of_class)))
