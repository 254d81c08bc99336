"""The models that are compared: what each says of the held-out images, and how large it is."""

import json
import shutil
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src.core.errors import AssayError
from src.data.dataset.index import HeldOutRows


@dataclass(frozen=True)
class Size:
    """How large a model is."""

    bytes: int  # of the file with its weights
    gzip_bytes: int
    parameters: int
    nonzero_parameters: int
    macs: int  # multiply-accumulates for one image

    @property
    def sparsity(self) -> float:
        """Share of the parameters that are zero."""
        return 1 - self.nonzero_parameters / self.parameters if self.parameters else 0.0


@dataclass(frozen=True)
class Model:
    """What a model says, and its size."""

    logits: NDArray[np.float32]  # (n, K), rows as in HeldOut
    size: Size


@dataclass(frozen=True)
class VariantPredictions:
    """A variant by its name; with a ``reason`` it failed, and there is no model."""

    name: str
    steps: tuple[str, ...]
    model: Model | None
    reason: str | None = None


def read_variant(folder: Path, held: HeldOutRows) -> VariantPredictions:
    """What compress wrote into ``folder``.

    Raises:
        AssayError: a file is missing or damaged, or speaks of other images.
    """
    try:
        about = json.loads((folder / "variant.json").read_text(encoding="utf-8"))
        steps = tuple(about["steps"])
        if about["status"] != "ok":
            return VariantPredictions(folder.name, steps, None, str(about["reason"]))
        size = Size(**{name: int(about[name]) for name in Size.__dataclass_fields__})
        return VariantPredictions(folder.name, steps, Model(_read_logits(folder, held), size))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AssayError(
            f"{folder} cannot be read ({type(error).__name__}: {error}): bring it back with `dvc checkout`, "
            f"or make it again with `dvc repro compress@{folder.name}`"
        ) from error


def remove_stale_variants(models: Path, named: Collection[str]) -> list[str]:
    """Remove the folders of variants that are not ``named`` any more; returns their names."""
    lingering = [path.parent for path in models.glob("*/variant.json") if path.parent.name not in named]
    for folder in sorted(lingering):
        shutil.rmtree(folder)
    return sorted(folder.name for folder in lingering)


def size_figures(size: Size) -> dict[str, float]:
    """By the names that a table has for them."""
    figures: dict[str, Any] = asdict(size)
    return {**figures, "sparsity": size.sparsity}


def _read_logits(folder: Path, held: HeldOutRows) -> NDArray[np.float32]:
    from pyarrow import parquet

    path = folder / "predictions.parquet"
    table = parquet.ParquetFile(path).read()
    told = [table[name].to_numpy() for name in ("id", "target")]
    if not all(map(np.array_equal, told, (held.ids, held.targets))):
        raise ValueError(f"{path.name} is of other images than data/split holds out")
    columns = [name for name in table.column_names if name.startswith("logit_")]
    logits = [table[f"logit_{index}"].to_numpy() for index in range(len(columns))]
    return np.stack(logits, axis=1).astype(np.float32)
