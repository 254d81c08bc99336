"""How often the model is right in each subgroup of the test images, and where it fails.

The images with one value in a column of labels.csv, such as one camera, are a subgroup. It is compared with
all other test images. The intervals of these differences hold for all subgroups at once (Bonferroni), because
one of twenty would otherwise seem to differ by chance.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from src.config.schema.evaluate import Evaluate
from src.config.suggestions import did_you_mean
from src.core.errors import AssayError
from src.core.metric_names import with_limits
from src.core.wording import counted
from src.data.dataset.index import read_csv_columns
from src.evaluation.metrics.classification import Integers
from src.evaluation.robustness.headline import FEW, headline_metrics
from src.evaluation.uncertainty.intervals import UNKNOWN, Interval, newcombe

Mask = NDArray[np.bool_]

WORST = "test/accuracy/worst_subgroup"
MOST_VALUES = 50  # of a column: more are no subgroups, but measurements or names


@dataclass(frozen=True)
class Subgroup:
    """The n test images with one value in a column."""

    column: str
    value: str  # "": labels.csv has none
    images: int  # n
    metrics: dict[str, float]  # see `headline_metrics`
    gap: float  # accuracy minus that of all other test images; NaN if there are none
    limits: Interval  # of the gap

    @property
    def name(self) -> str:
        """As in ``site=north``."""
        return f"{self.column}={self.value or '(empty)'}"

    @property
    def note(self) -> str:
        """What keeps the numbers from being trusted, or missing."""
        if math.isnan(self.gap):
            return "all test images"
        return "few images: only the accuracy, with a wide interval" if self.images < FEW else ""


def read_subgroup_columns(ingest: Path, wanted: Sequence[str]) -> dict[str, list[str]]:
    """The values of the columns ``wanted`` for all images; ``ingest`` is the folder of that stage.

    Raises:
        AssayError: see :func:`refuse_unusable`.
    """
    columns = read_csv_columns(ingest) if wanted else {}
    refuse_unusable(wanted, columns)
    return {name: columns[name] for name in wanted}


def refuse_unusable(wanted: Sequence[str], columns: Mapping[str, Sequence[str]]) -> None:
    """Refuse columns that make no subgroups, before anything is computed.

    Args:
        wanted: names of columns.
        columns: what each column of labels.csv says of the images.

    Raises:
        AssayError: A column is missing, or has too many values; names all of them.
    """
    faults = [fault for name in wanted for fault in _faults(name, columns)]
    if faults:
        raise AssayError("evaluate.subgroups:\n" + "\n".join(f"  {fault}" for fault in faults))


def find_subgroups(
    predicted: Integers,
    targets: Integers,
    cells: Mapping[str, NDArray[np.str_]],
    classes: int,
    settings: Evaluate,
    seed: int,
) -> list[Subgroup]:
    """The subgroups of n test images, by column and value.

    Args:
        predicted: (n,).
        targets: (n,).
        cells: (n,) values of each column.
        classes: their number.
        settings: section ``evaluate``.
        seed: decides the resamples.
    """
    chosen = [(column, value) for column, values in cells.items() for value in np.unique(values).tolist()]
    right, confidence = predicted == targets, 1 - (1 - settings.confidence) / max(1, len(chosen))
    found = []
    for column, value in chosen:
        rows = cells[column] == value
        metrics = headline_metrics(predicted[rows], targets[rows], classes, settings, seed)
        found.append(Subgroup(column, value, int(rows.sum()), metrics, *_gap(right, rows, confidence)))
    return found


def largest_gap(found: Sequence[Subgroup]) -> Subgroup | None:
    """The subgroup with the lowest upper limit of its gap: a few images may be far below by chance.

    None if no column has two values.
    """
    compared = [each for each in found if not math.isnan(each.gap)]
    return min(compared, key=lambda each: each.limits.high, default=None)


def subgroup_metrics(found: Sequence[Subgroup]) -> dict[str, float]:
    """The accuracy of the subgroup with the largest gap, for MLflow."""
    worst = largest_gap(found)
    if worst is None:
        return {}
    names = zip(with_limits(WORST), with_limits("test/accuracy"), strict=True)
    return {name: worst.metrics[metric] for name, metric in names}


def describe_gap(found: Sequence[Subgroup]) -> str:
    """One line for the terminal."""
    worst = largest_gap(found)
    if worst is None:
        return "Subgroups: no column has two values among the test images"
    claim = "largest gap" if worst.limits.high < 0 else f"no gap of {len(found)} is beyond chance; largest"
    value, low, high = (worst.metrics[name] for name in with_limits("test/accuracy"))
    return (
        f"Subgroups: {claim}: {worst.name} with accuracy {value:.4f} ({low:.3f} to {high:.3f}, "
        f"{counted(worst.images, 'image')}), {worst.gap:+.3f} ({worst.limits.low:+.3f} to "
        f"{worst.limits.high:+.3f}) against all others"
    )


def _gap(right: Mask, rows: Mask, confidence: float) -> tuple[float, Interval]:
    """Accuracy of these rows minus that of the others."""
    if rows.all():
        return math.nan, UNKNOWN
    (hits, images), (others, other_images) = (
        (int(part.sum()), len(part)) for part in (right[rows], right[~rows])
    )
    gap = hits / images - others / other_images
    return gap, newcombe(hits, images, others, other_images, confidence)


def _faults(name: str, columns: Mapping[str, Sequence[str]]) -> Iterator[str]:
    if not columns:
        yield f"{name}: only labels.csv (data.source=csv) has columns, beside path, label and split"
    elif name not in columns:
        known = ", ".join(columns)
        yield f"{name}: labels.csv has no such column{did_you_mean(name, columns)}; it has {known}"
    elif (values := len(set(columns[name]))) > MOST_VALUES:
        yield (
            f"{name}: {values:,} values are too many, at most {MOST_VALUES} make subgroups: add a column "
            "with ranges of them"
        )
