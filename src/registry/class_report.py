"""Where a model is weak: its weakest class and what it confuses, on the test images."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from src.core.csv_files import write_csv

MOST = 3  # confusions to name
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class ClassReport:
    """The errors of a model by class."""

    classes: Sequence[str]
    matrix: Integers  # (K, K) test images of class i that were predicted as j

    @classmethod
    def of(cls, classes: Sequence[str], targets: Integers, predicted: Integers) -> "ClassReport":
        """From the classes (n,) and the predicted classes (n,)."""
        matrix = np.zeros((len(classes), len(classes)), dtype=np.int64)
        np.add.at(matrix, (targets, predicted), 1)
        return cls(classes, matrix)

    def weakest(self) -> tuple[str, int, int] | None:
        """The class with the lowest recall, its images and how many are right; None if there is no error.

        Of equal classes, the one with the most images, then the first.
        """
        images, right = self.matrix.sum(axis=1), np.diag(self.matrix)
        faulty = [k for k in range(len(images)) if right[k] < images[k]]
        worst = min(faulty, key=lambda k: (right[k] / images[k], -images[k]), default=None)
        return None if worst is None else (self.classes[worst], int(images[worst]), int(right[worst]))

    def never_right(self) -> list[str]:
        """The classes that have images, none of which is right."""
        images, right = self.matrix.sum(axis=1), np.diag(self.matrix)
        return [name for name, n, hits in zip(self.classes, images, right, strict=True) if n and not hits]

    def f1_macro(self) -> float:
        """F1, mean over the classes that have images."""
        from src.evaluation.metrics.classification import ConfusionCounts, from_counts  # it imports torch

        hits, images, answers = np.diag(self.matrix), self.matrix.sum(axis=1), self.matrix.sum(axis=0)
        counts = ConfusionCounts(*(each.astype(np.float64) for each in (hits, images, answers)))
        return float(from_counts(counts)["f1_macro"])

    def confusions(self) -> list[tuple[str, str, int]]:
        """The most frequent errors: actual class, predicted class, images."""
        wrong = self.matrix - np.diag(np.diag(self.matrix))
        cells = np.argsort(-wrong, axis=None, kind="stable")[:MOST]
        pairs = [tuple(int(k) for k in np.unravel_index(cell, wrong.shape)) for cell in cells]
        return [(self.classes[i], self.classes[j], int(wrong[i, j])) for i, j in pairs if wrong[i, j]]


def write_confusion(path: Path, report: ClassReport) -> None:
    """One line for each pair of an actual and a predicted class that occurs, with its number of images."""
    cells = zip(*np.nonzero(report.matrix), strict=True)
    rows = ((report.classes[i], report.classes[j], int(report.matrix[i, j])) for i, j in cells)
    write_csv(path, ["actual", "predicted", "images"], rows)
