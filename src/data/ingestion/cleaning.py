"""Which images are dropped, and why: unreadable ones, and equal ones with different labels."""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from src.core.errors import AssayError
from src.data.ingestion.decoding_pool import DecodedImage
from src.data.ingestion.listing import ImageEntry, shortened

Policy = Literal["drop", "fail"]


def find_conflicts(digests: Sequence[str | None], labels: Sequence[str]) -> list[list[int]]:
    """Groups of rows (ascending) with the same pixels, but different labels.

    Ordered by their first row. Rows whose digest is None are left out.
    """
    first: dict[str, str] = {}
    contradicted = {
        digest: list[int]()
        for digest, label in zip(digests, labels, strict=True)
        if digest is not None and first.setdefault(digest, label) != label
    }
    for row, digest in enumerate(digests):
        if digest in contradicted:
            contradicted[digest].append(row)
    return sorted(contradicted.values())


def count_duplicates(digests: Sequence[str]) -> int:
    """Number of images that repeat an earlier one."""
    return len(digests) - len(set(digests))


def find_unusable(
    items: Sequence[ImageEntry], outcomes: Sequence[DecodedImage], on_corrupt: Policy, on_conflict: Policy
) -> list[str | None]:
    """The reason to drop each row, or None.

    Raises ``AssayError`` with a list of the images if the policy for their fault is ``fail``.
    """
    reasons = [outcome.reason for outcome in outcomes]
    if on_corrupt == "fail":
        _refuse_unreadable(items, reasons)
    groups = find_conflicts([outcome.digest for outcome in outcomes], [item.label for item in items])
    texts = [" = ".join(f"{items[row].source} ({items[row].label})" for row in group) for group in groups]
    if on_conflict == "fail":
        _refuse_conflicts(texts)
    for group, text in zip(groups, texts, strict=True):
        for row in group:
            reasons[row] = f"the same pixels under more than one label: {text}"
    return reasons


def refuse_lost_classes(items: Sequence[ImageEntry], reasons: Sequence[str | None]) -> None:
    """Raise ``AssayError`` if a class has lost all its images."""
    found = Counter(item.label for item in items)
    dropped = Counter(item.label for item, reason in zip(items, reasons, strict=True) if reason)
    lost = sorted(label for label in found if found[label] == dropped[label])
    if not lost:
        return
    first = {label: _first_drop(label, items, reasons) for label in lost}
    lines = [f"{label} ({found[label]} dropped; {first[label]})" for label in lost]
    raise AssayError(
        f"{len(lost)} class(es) have no usable image:\n{shortened(lines)}\n"
        "Replace these images, or remove the class from the data."
    )


def _refuse_unreadable(items: Sequence[ImageEntry], reasons: Sequence[str | None]) -> None:
    bad = [f"{item.source}: {reason}" for item, reason in zip(items, reasons, strict=True) if reason]
    if bad:
        raise AssayError(
            f"{len(bad)} of {len(items)} images cannot be used:\n{shortened(bad)}\n"
            "Replace or remove them, or drop them with data.on_corrupt=drop."
        )


def _refuse_conflicts(texts: Sequence[str]) -> None:
    if texts:
        raise AssayError(
            f"{len(texts)} image(s) appear under more than one label:\n{shortened(texts)}\n"
            "Keep the right one of each, or drop them all with data.on_conflict=drop."
        )


def _first_drop(label: str, items: Sequence[ImageEntry], reasons: Sequence[str | None]) -> str:
    drops = zip(items, reasons, strict=True)
    return next(f"{item.source}: {reason}" for item, reason in drops if reason and item.label == label)
