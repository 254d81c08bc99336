"""Whether a challenger may replace the champion, judged on validation images that neither was trained on.

Images are identified by their pixels, not by a row of a table. So two models can be compared although the
data set has grown in between, if their validation images are the same.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from src.leaderboard.table.significance import discordance, one_sided_p, significantly_worse

Names = NDArray[np.int64]


@dataclass(frozen=True)
class ValidationEvidence:
    """What a model can be judged by; contains no test image."""

    images: Names  # (n,) validation images, see image_names
    targets: NDArray[np.int64]  # (n,) their classes
    predicted: NDArray[np.int64]  # (n,) the classes that the model predicts
    trained_on: Names  # (m,) training images

    @property
    def right(self) -> NDArray[np.bool_]:
        """(n,) whether the prediction for each image is right, in the order of the images' names."""
        right: NDArray[np.bool_] = (self.targets == self.predicted)[self._order]
        return right

    @property
    def judged_on(self) -> NDArray[np.int64]:
        """(2, n) name and class of each image, in order."""
        return np.stack([self.images, self.targets])[:, self._order]

    @property
    def _order(self) -> NDArray[np.int64]:
        return np.lexsort((self.predicted, self.targets, self.images))


@dataclass(frozen=True)
class PromotionDecision:
    """Whether the challenger becomes champion, and why or why not."""

    promoted: bool
    reason: str


def image_names(digests: Iterable[str]) -> Names:
    """(n,) the first eight bytes of each hexadecimal SHA-256, enough to tell images apart."""
    return np.array([int.from_bytes(bytes.fromhex(d[:16]), "big", signed=True) for d in digests], np.int64)


def judge(champion: ValidationEvidence, challenger: ValidationEvidence, level: float) -> PromotionDecision:
    """Promote unless the challenger is significantly worse, or the two cannot be compared.

    The test is one-sided, on the images on which exactly one of the two is right: see
    :func:`src.leaderboard.table.significance.one_sided_p`. ``level`` is in (0, 1).
    """
    incomparable = _incomparable(champion, challenger)
    if incomparable:
        return PromotionDecision(False, f"not comparable with the champion: {incomparable}")
    found = discordance(champion.right, challenger.right)
    p = one_sided_p(champion.right, challenger.right)
    counts = (
        f"of {len(challenger.right)} validation images {found.lost} lost and {found.won} won, "
        f"one-sided p={p:.3g}, register.level={level}"
    )
    if significantly_worse(champion.right, challenger.right, level):
        return PromotionDecision(False, f"significantly worse than the champion ({counts})")
    return PromotionDecision(True, f"not significantly worse than the champion ({counts})")


def save(evidence: ValidationEvidence, folder: Path) -> None:
    """Write ``validation.npy`` int64 (3, n) (image, class, answer) and ``training.npy`` int64 (m,)."""
    order = np.argsort(evidence.images, kind="stable")
    rows = np.stack([evidence.images, evidence.targets, evidence.predicted])[:, order]
    np.save(folder / "validation.npy", rows, allow_pickle=False)
    np.save(folder / "training.npy", np.sort(evidence.trained_on), allow_pickle=False)


def load(folder: Path) -> ValidationEvidence:
    """Read what :func:`save` wrote. Raises OSError or ValueError if it is missing or something else."""
    images, targets, predicted = np.load(folder / "validation.npy", allow_pickle=False)
    trained_on = np.load(folder / "training.npy", allow_pickle=False)
    return ValidationEvidence(images, targets, predicted, trained_on)


def _incomparable(champion: ValidationEvidence, challenger: ValidationEvidence) -> str | None:
    """Why the two cannot be compared; None if they can."""
    seen = {
        name: int(np.isin(challenger.images, model.trained_on).sum())
        for name, model in (("the champion", champion), ("the challenger", challenger))
    }
    trained = [f"{name} was trained on {count}" for name, count in seen.items() if count]
    if trained:
        return f"{' and '.join(trained)} of today's {len(challenger.images)} validation images"
    if not np.array_equal(np.unique(champion.images), np.unique(challenger.images)):
        return "it was judged on other validation images"
    if not np.array_equal(champion.judged_on, challenger.judged_on):
        return "its validation images had other labels, or other numbers of copies"
    return None
