"""Two results that are not the same bytes: what is different inside, and by how much.

The tolerance, stated once: a metric moves by at most ``MOVE`` or stays within its recorded interval, and at
most ``CHANGED`` of the predictions are of another class. Weights may differ by any amount: training magnifies
a rounding, and what counts is what the model says.
"""

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src.compression.onnx.weights import read_weights
from src.core.metric_names import WEIGHTS

MOVE = 0.02  # of a share, such as an accuracy
CHANGED = 0.05  # share of predictions
SHOWN = 3
Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Difference:
    """What differs in one file."""

    path: str
    text: str
    within: bool  # the stated tolerance


def compare_files(path: str, recorded: Path, remade: Path) -> Difference:
    """What differs between two versions of a file, by what kind of file it is."""
    compare = KINDS.get(recorded.name) or KINDS.get(recorded.suffix) or _bytes
    try:
        text, within = compare(recorded, remade)
    except (OSError, ValueError, KeyError, TypeError) as error:
        text, within = f"cannot be compared: {type(error).__name__}: {error}", False
    return Difference(path, text, within)


def _weights(recorded: Path, remade: Path) -> tuple[str, bool]:
    """Tensors by their names: the layers that differ most."""
    return _tensors(_safetensors(recorded), _safetensors(remade))


def _onnx(recorded: Path, remade: Path) -> tuple[str, bool]:
    return _tensors(_initializers(recorded), _initializers(remade))


def _tensors(ours: Arrays, theirs: Arrays) -> tuple[str, bool]:
    if {k: v.shape for k, v in ours.items()} != {k: v.shape for k, v in theirs.items()}:
        return f"other layers: {len(ours)} recorded, {len(theirs)} remade", False
    moved = sorted(
        (
            (*_gap(ours[name], theirs[name]), name)
            for name in ours
            if not np.array_equal(ours[name], theirs[name])
        ),
        reverse=True,
    )
    layers = "; ".join(f"{name} by {gap:.2g} ({100 * share:.2g}%)" for gap, share, name in moved[:SHOWN])
    return (
        f"{len(moved)} of {len(ours)} layers differ, most of all {layers}" if moved else "the same weights",
        True,
    )


def _predictions(recorded: Path, remade: Path) -> tuple[str, bool]:
    ours, theirs = read_table(recorded), read_table(remade)
    if ours.keys() != theirs.keys() or not np.array_equal(ours["id"], theirs["id"]):
        return "predictions for other images", False
    changed = int((ours["predicted"] != theirs["predicted"]).sum())
    outputs = [name for name in ours if name.startswith(("p_", "logit_"))]
    largest = max((_gap(ours[name], theirs[name])[0] for name in outputs), default=0.0)
    total = len(ours["id"])
    return (
        f"{changed} of {total:,} predictions changed class; an output differs by {largest:.2g} at most",
        changed <= CHANGED * total,
    )


def _json(recorded: Path, remade: Path) -> tuple[str, bool]:
    """Numbers by their keys, against the interval that stands beside them."""
    ours, theirs = (json.loads(path.read_text(encoding="utf-8")) for path in (recorded, remade))
    one, other = dict(_leaves(ours)), dict(_leaves(theirs))
    differing = [key for key in one if one[key] != other.get(key)] + [key for key in other if key not in one]
    outside = [key for key in differing if not _within(key, one, other)]
    shown = "; ".join(
        f"{key} {_number(one.get(key))} is {_number(other.get(key))}"
        for key in (outside or differing)[:SHOWN]
    )
    return f"{len(differing)} values differ, {len(outside)} beyond the tolerance: {shown}", not outside


def _within(key: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether a metric is where it may be. Ends of intervals follow their metric, and counts have no say."""
    name, _, last = key.rpartition(".")
    old, new = one.get(key), other.get(key)
    if last in ("low", "high", "corrected_low", "corrected_high") or not _is_share(key, old, new):
        return _is_number(old) and _is_number(new)
    if abs(other[key] - one[key]) <= MOVE:
        return True
    low, high = one.get(f"{name}.low"), one.get(f"{name}.high")
    return last in ("value", "mean") and low is not None and high is not None and low <= other[key] <= high


def _is_share(key: str, old: Any, new: Any) -> bool:
    """Whether it is an accuracy or the like; sizes and losses are not bound to 0…1."""
    return _is_number(old) and _is_number(new) and 0 <= old <= 1 and "loss" not in key


def _table_of_text(recorded: Path, remade: Path) -> tuple[str, bool]:
    """Cells of a CSV file."""
    ours, theirs = _cells(recorded), _cells(remade)
    if len(ours) != len(theirs):
        return f"{len(ours)} cells recorded, {len(theirs)} remade", True
    moved = [(a, b) for a, b in zip(ours, theirs, strict=True) if a != b]
    gaps = [abs(float(a) - float(b)) for a, b in moved if _is_float(a) and _is_float(b)]
    largest = f", by {max(gaps):.2g} at most" if gaps else ""
    return f"{len(moved)} of {len(ours):,} cells differ{largest}", True


def _history(recorded: Path, remade: Path) -> tuple[str, bool]:
    """Cells, and the first epoch after which the weights were other ones."""
    text, within = _table_of_text(recorded, remade)
    ours, theirs = _column(recorded, WEIGHTS), _column(remade, WEIGHTS)
    first = next((epoch for epoch, (a, b) in enumerate(zip(ours, theirs, strict=False), 1) if a != b), None)
    return (text if first is None else f"{text}; the weights differ from epoch {first} on"), within


def _array(recorded: Path, remade: Path) -> tuple[str, bool]:
    ours, theirs = (np.load(path, mmap_mode="r", allow_pickle=False) for path in (recorded, remade))
    if ours.shape != theirs.shape:
        return f"shape {ours.shape} recorded, {theirs.shape} remade", False
    return f"{int((ours != theirs).sum()):,} of {ours.size:,} values differ", False


def _parquet(recorded: Path, remade: Path) -> tuple[str, bool]:
    ours, theirs = read_table(recorded), read_table(remade)
    if ours.keys() != theirs.keys() or {len(v) for v in ours.values()} != {len(v) for v in theirs.values()}:
        return "other columns or rows", False
    columns = [name for name in ours if not np.array_equal(ours[name], theirs[name])]
    return f"the columns {', '.join(columns)} differ", not columns


def _picture(recorded: Path, remade: Path) -> tuple[str, bool]:  # noqa: ARG001  # as all comparisons
    return "another picture, of other numbers", True


def _bytes(recorded: Path, remade: Path) -> tuple[str, bool]:
    ours, theirs = recorded.stat().st_size, remade.stat().st_size
    return f"other bytes: {ours:,} recorded, {theirs:,} remade", False


def _text(recorded: Path, remade: Path) -> tuple[str, bool]:
    ours, theirs = (path.read_text(encoding="utf-8").splitlines() for path in (recorded, remade))
    return f"{sum(a != b for a, b in zip(ours, theirs, strict=False))} of {len(ours)} lines differ", True


def _settings(recorded: Path, remade: Path) -> tuple[str, bool]:
    """Found by a search: other settings are other settings, whatever becomes of them."""
    ours, theirs = (path.read_text(encoding="utf-8").split("\n") for path in (recorded, remade))
    moved = [f"{a} is {b}" for a, b in zip(ours, theirs, strict=False) if a != b]
    return f"the search found other settings: {'; '.join(moved[:SHOWN])}", True


KINDS: dict[str, Callable[[Path, Path], tuple[str, bool]]] = {
    "predictions.parquet": _predictions,
    "best.yaml": _settings,
    "history.csv": _history,
    ".safetensors": _weights,
    ".onnx": _onnx,
    ".json": _json,
    ".csv": _table_of_text,
    ".npy": _array,
    ".parquet": _parquet,
    ".png": _picture,
    ".md": _text,
}


def _gap(one: NDArray[Any], other: NDArray[Any]) -> tuple[float, float]:
    """Largest absolute difference, and what that is of the largest value."""
    a, b = one.astype(np.float64), other.astype(np.float64)
    gap = float(np.abs(a - b).max()) if a.size else 0.0
    largest = float(np.abs(a).max()) if a.size else 0.0
    return gap, gap / largest if largest else 0.0


def _safetensors(path: Path) -> Arrays:
    from safetensors.numpy import load_file

    found: Arrays = load_file(path)
    return found


def _initializers(path: Path) -> Arrays:
    return read_weights(path)


def _cells(path: Path) -> list[str]:
    with path.open(encoding="utf-8", newline="") as file:
        return [cell for row in csv.reader(file) for cell in row]


def _column(path: Path, name: str) -> list[str]:
    """Empty if the file has no such column."""
    with path.open(encoding="utf-8", newline="") as file:
        return [row[name] for row in csv.DictReader(file) if name in row]


def _leaves(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of everything in nested mappings and lists."""
    pairs = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    )
    if pairs is None:
        yield prefix, value
        return
    for key, below in pairs:
        yield from _leaves(below, f"{prefix}.{key}" if prefix else str(key))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def read_table(path: Path) -> dict[str, NDArray[Any]]:
    """{column: values} of a parquet file."""
    from pyarrow import parquet

    table = parquet.ParquetFile(path).read()
    # copies: torch warns of arrays that cannot be written to
    return {name: table[name].to_numpy().copy() for name in table.column_names}
