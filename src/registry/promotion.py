"""Whether a challenger may replace the champion, judged on validation images that neither was trained on.

Images are identified by their pixels, not by a row of a table. So models can be compared although the data
set has grown in between: a registered model is asked again about images that it was not judged on before.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from src.leaderboard.comparison.non_inferiority import Logits, NonInferiorityRule, judge, measure_loss

Names = NDArray[np.int64]
LOGITS = "logits.npy"


@dataclass(frozen=True)
class ValidationEvidence:
    """What a model can be judged by; contains no test image."""

    images: Names  # (n,) validation images, see image_names
    targets: NDArray[np.int64]  # (n,) their classes
    logits: Logits | None  # (n, K) the model's answers; None: they were not kept
    trained_on: Names  # (m,) training images

    @property
    def judged_on(self) -> NDArray[np.int64]:
        """(2, n) name and class of each image, in order."""
        return np.stack([self.images, self.targets])[:, self.order]

    @property
    def order(self) -> NDArray[np.int64]:
        """(n,) the order of the images by name and class."""
        return np.lexsort((self.targets, self.images))


@dataclass(frozen=True)
class PromotionDecision:
    """Whether the challenger becomes champion, and why or why not."""

    promoted: bool
    reason: str


def image_names(digests: Iterable[str]) -> Names:
    """(n,) the first eight bytes of each hexadecimal SHA-256, enough to tell images apart."""
    return np.array([int.from_bytes(bytes.fromhex(d[:16]), "big", signed=True) for d in digests], np.int64)


def overlap(model: ValidationEvidence, images: Names) -> str | None:
    """Why a model cannot be judged on ``images``: it has learned from some of them. None if it can."""
    seen = int(np.isin(images, model.trained_on).sum())
    return f"it was trained on {seen} of today's {len(images)} validation images" if seen else None


def paired_logits(
    before: ValidationEvidence, after: ValidationEvidence
) -> tuple[Logits, Logits, NDArray[np.int64]]:
    """Logits (n, K) of two models for the same images in one order, and the classes (n,)."""
    assert before.logits is not None and after.logits is not None
    assert np.array_equal(before.judged_on, after.judged_on)
    return before.logits[before.order], after.logits[after.order], after.targets[after.order]


def judge_challenger(
    champion: ValidationEvidence, challenger: ValidationEvidence, rule: NonInferiorityRule
) -> PromotionDecision:
    """Whether the challenger is non-inferior to the champion, by their answers for the same images."""
    loss = measure_loss(*paired_logits(champion, challenger), rule)
    verdict = judge({"challenger": loss}, rule)["challenger"]
    return PromotionDecision(
        verdict.passed, f"{'' if verdict.passed else 'not shown '}non-inferior: {verdict.reason}"
    )


def save(evidence: ValidationEvidence, folder: Path) -> None:
    """Write ``validation.npy`` int64 (2, n) (image, class), ``logits.npy``, and ``training.npy`` (m,)."""
    order = evidence.order
    np.save(folder / "validation.npy", evidence.judged_on, allow_pickle=False)
    np.save(folder / "training.npy", np.sort(evidence.trained_on), allow_pickle=False)
    if evidence.logits is not None:
        np.save(folder / LOGITS, evidence.logits[order], allow_pickle=False)


def load(folder: Path) -> ValidationEvidence:
    """Read what :func:`save` wrote, or an earlier version, which kept no logits.

    Raises OSError or ValueError if it is missing or something else.
    """
    images, targets = np.load(folder / "validation.npy", allow_pickle=False)[:2]
    trained_on = np.load(folder / "training.npy", allow_pickle=False)
    kept = (folder / LOGITS).is_file()
    logits = np.load(folder / LOGITS, allow_pickle=False) if kept else None
    return ValidationEvidence(images, targets, logits, trained_on)
