"""The images that no model was fitted on."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from src.data.labelled_rows import read_labelled_rows, read_split
from src.errors import AssayError


@dataclass(frozen=True)
class HeldOut:
    """Validation and test images, n in all."""

    ids: NDArray[np.int64]  # (n,) rows of the image array, ascending
    targets: NDArray[np.int64]  # (n,)
    validation: NDArray[np.bool_]  # (n,); the others are for testing


def read_held_out(ingest: Path, split: Path) -> HeldOut:
    """Validation and test rows. Raises AssayError when one of the two has none."""
    rows, (names, _) = read_labelled_rows(ingest), read_split(split)
    for name in ("val", "test"):
        if name not in names:
            raise AssayError(f"{split / 'splits.parquet'} has no {name} rows. Make it again: dvc repro split")
    held = np.isin(names, ("val", "test"))
    return HeldOut(rows.ids[held], rows.targets[held], names[held] == "val")
