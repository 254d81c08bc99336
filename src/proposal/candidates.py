"""What could be tried on a data set: two or three ways to a classifier, each as choices of ``conf/``."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from timm import get_pretrained_cfg

from src.proposal.available_weights import Weights
from src.proposal.inspection import Inspection

Way = Literal["head", "all", "scratch"]

DETAIL = 48  # pixels: smaller originals show too little for features of photographs to help
LETTERS = 2  # characters of a class name, up to which it is rather a letter or a digit
LIGHT = 40  # pixels, up to which shifts and rotations are kept small
SMALL_WIDTHS = [16, 32, 64]
# Of a head alone. With 0.004 it memorized 521 pictures before the rate fell: the validation loss was lowest
# after about 9 of 40 epochs (one split).
HEAD_LR = 0.001
# Sides to choose from, pixels, the larger the better as long as the time allows.
PRETRAINED_SIDES = (224, 192, 160, 128, 96)
SCRATCH_SIDES = (128, 96, 64, 48, 32)


@dataclass(frozen=True)
class Candidate:
    """A way to a classifier.

    Attributes:
        title: in words.
        way: head: pretrained, and only its head is trained; all: pretrained, and all of it is trained;
            scratch: from random weights.
        groups: group of ``conf/`` -> choice.
        values: dotted key -> value.
        epochs: wanted; fewer where the time does not allow them.
        least_epochs: below which it is not worth trying.
        sides: pixels of the images, the best first; empty: as they were decoded.
    """

    title: str
    way: Way
    groups: Mapping[str, str]
    values: Mapping[str, Any]
    epochs: int
    least_epochs: int
    sides: tuple[int, ...]

    def overrides(self) -> list[str]:
        """In Hydra's syntax."""
        groups = [f"{group}={choice}" for group, choice in self.groups.items()]
        return [*groups, *(f"{key}={_written(value)}" for key, value in self.values.items())]


def list_candidates(found: Inspection, weights: Weights | None, small: bool) -> list[Candidate]:
    """Two or three candidates, those that start from pretrained weights first.

    Args:
        weights: those that are available.
        small: whether the goal is a small model.
    """
    candidates = []
    if weights is not None and float(np.median(found.original_sizes.max(axis=1))) >= DETAIL:
        candidates += [_head(weights), _all(weights)]
    candidates.append(_scratch(found, SMALL_WIDTHS if small else _widths(found)))
    if len(candidates) == 1 and not small:
        candidates.append(_scratch(found, SMALL_WIDTHS))
    return candidates


def augmentation(found: Inspection) -> tuple[str, str]:
    """The choice of group ``augment`` for training on pixels, and why."""
    named = [len(name) <= LETTERS for name in found.listing.classes]
    if np.mean(named) > 0.5:
        return "light", "the classes seem to be digits or letters, which must not be mirrored"
    if max(found.image_size) <= LIGHT:
        return "light", "small images bear small changes only"
    return "strong", "photographs may be mirrored, turned a little, and be brighter or darker"


def _head(weights: Weights) -> Candidate:
    return Candidate(
        title=f"Only the head of {weights.model}, with ImageNet weights",
        way="head",
        groups={"model": "timm", "normalize": "pretrained", "augment": "none"},
        values={**_pretrained(weights), "train.optimizer.lr": HEAD_LR, "train.finetune.layers": "head"},
        epochs=40,
        least_epochs=40,
        sides=_sides(weights),
    )


def _all(weights: Weights) -> Candidate:
    return Candidate(
        title=f"All of {weights.model}, from ImageNet weights",
        way="all",
        groups={"model": "timm", "normalize": "pretrained", "augment": "strong"},
        values={**_pretrained(weights), "train.optimizer.lr": 0.001},
        epochs=20,
        least_epochs=8,
        sides=_sides(weights),
    )


def _scratch(found: Inspection, widths: list[int]) -> Candidate:
    own = max(found.image_size)
    sides = tuple(side for side in SCRATCH_SIDES if side <= own) if own >= min(SCRATCH_SIDES) else ()
    return Candidate(
        title=f"A residual CNN ({', '.join(map(str, widths))} channels), from random weights",
        way="scratch",
        groups={"model": "cnn", "normalize": "standard", "augment": augmentation(found)[0]},
        values={"model.widths": widths},
        epochs=40 if len(found.listing.items) < 10_000 else 18,
        least_epochs=10,
        sides=sides if len(set(found.image_size)) == 1 and own > 64 else (),
    )


def _widths(found: Inspection) -> list[int]:
    """A stage more for larger images: each halves the resolution."""
    return [32, 64, 128] if max(found.image_size) <= LIGHT else [32, 64, 128, 256]


def _pretrained(weights: Weights) -> dict[str, Any]:
    return {"model.name": weights.model, "model.weights": "imagenet", "model.stem": "standard"}


def _sides(weights: Weights) -> tuple[int, ...]:
    """Down from the size that the weights were trained at, where features are best, of smaller images too."""
    said = get_pretrained_cfg(weights.model)
    largest = said.input_size[-1] if said is not None else PRETRAINED_SIDES[0]
    return tuple(side for side in PRETRAINED_SIDES if side <= largest)


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value).replace(" ", "")
