"""The result of a compression: ``variant.json`` and ``predictions.parquet``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from numpy.typing import NDArray
from pyarrow import parquet

from src.compression.artifacts import OnnxModel, TorchModel
from src.core.files import write_json
from src.core.metric_names import nest
from src.data.dataset.index import HeldOutRows
from src.data.dataset.spec import DataSpec, with_spec
from src.models.size import ModelSize, measure_size

Logits = NDArray[np.float32]


@dataclass(frozen=True)
class VariantResult:
    """The outcome of a variant."""

    steps: list[str]  # their names
    reason: str | None = None  # why it failed; None: it did not
    metrics: Mapping[str, float] = field(default_factory=dict)  # by name; none for a failure
    temperature: float = 1.0  # by which the logits were divided
    decision: Mapping[str, Any] | None = None  # rule of `src.serving.decision`; None: the most probable class

    @property
    def status(self) -> str:
        """``ok`` or ``failed``."""
        return "ok" if self.reason is None else "failed"


def failed(steps: Sequence[str], reason: str) -> VariantResult:
    """The result of a variant that cannot be made."""
    return VariantResult(list(steps), reason)


def measure(
    steps: Sequence[str],
    model: OnnxModel,
    largest_difference: float | None,
    logits: Logits,
    base_logits: Logits,
    targets: NDArray[np.int64],
) -> VariantResult:
    """Measure a model on the validation images.

    Args:
        steps: names of the steps that made it.
        model: the model.
        largest_difference: of a logit of an int8 model, against the network that was exported.
        logits: (n, K) that are tracked for the validation images.
        base_logits: (n, K) of the base model for the same images.
        targets: (n,) class indices.
    """
    predicted = logits.argmax(1)
    metrics = {
        "val/accuracy": float(np.mean(predicted == targets)),
        "val/agreement": float(np.mean(predicted == base_logits.argmax(1))),
        **({} if largest_difference is None else {"val/largest_difference": largest_difference}),
        **size_of(model).to_metrics(),
    }
    return VariantResult(list(steps), metrics=metrics)


def size_of(model: OnnxModel) -> ModelSize:
    """The size of the file, and of the network in it before it became int8."""
    source: TorchModel = model.source
    image = source.spec.input
    example = torch.zeros(1, image.channels, image.height, image.width)
    network = source.network if source.before_int8 is None else source.before_int8
    return measure_size(network, example, model.content)


def write_result(path: Path, result: VariantResult) -> None:
    """Write ``variant.json``: status, reason, steps, and the metrics nested by the parts of their names."""
    about: dict[str, Any] = {"status": result.status, "reason": result.reason, "steps": result.steps}
    if result.reason is None:
        about["temperature"] = result.temperature
    write_json(path, about | nest(result.metrics))


def write_predictions(path: Path, held: HeldOutRows, logits: Logits, data: DataSpec) -> None:
    """Write the columns id, split, target, predicted and logit_0 … of the held-out images, sorted by id.

    ``data`` says what was predicted.
    """
    table = pd.DataFrame(
        {
            "id": held.ids,
            "split": np.where(held.validation, "val", "test"),
            "target": held.targets,
            "predicted": logits.argmax(1),
        }
    )
    columns = pd.DataFrame(logits, columns=[f"logit_{k}" for k in range(logits.shape[1])])
    found = pa.Table.from_pandas(table.join(columns), preserve_index=False)
    parquet.write_table(with_spec(found, data), path)
