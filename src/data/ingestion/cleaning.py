"""Which images are dropped, and why: unreadable ones, and equal ones with different labels."""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from src.core.errors import AssayError
from src.core.wording import counted
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

    Raises ``AssayError`` with lists of the images whose fault has the policy ``fail``, and of the classes
    that would have no image left: all at once.
    """
    unreadable = [outcome.reason for outcome in outcomes]
    groups = find_conflicts([outcome.digest for outcome in outcomes], [item.label for item in items])
    texts = [" = ".join(f"{items[row].source} ({items[row].label})" for row in group) for group in groups]
    contradicted = dict[int, str]()
    for group, text in zip(groups, texts, strict=True):
        contradicted |= dict.fromkeys(group, f"the same pixels under more than one label: {text}")
    reasons = [reason or contradicted.get(row) for row, reason in enumerate(unreadable)]
    refusals = _unreadable(items, unreadable) if on_corrupt == "fail" else []
    refusals += _conflicts(texts) if on_conflict == "fail" else []
    refusals += _lost_classes(items, reasons)
    if refusals:
        raise AssayError("\n\n".join(refusals))
    return reasons


def _lost_classes(items: Sequence[ImageEntry], reasons: Sequence[str | None]) -> list[str]:
    found = Counter(item.label for item in items)
    dropped = Counter(item.label for item, reason in zip(items, reasons, strict=True) if reason)
    lost = sorted(label for label in found if found[label] == dropped[label])
    if not lost:
        return []
    first = {label: _first_drop(label, items, reasons) for label in lost}
    lines = [f"{label} ({found[label]} dropped; {first[label]})" for label in lost]
    return [
        f"no image of {counted(len(lost), 'class')} can be used:\n{shortened(lines)}\n"
        "Replace these images, or remove the class from the data."
    ]


def _unreadable(items: Sequence[ImageEntry], reasons: Sequence[str | None]) -> list[str]:
    bad = [f"{item.source}: {reason}" for item, reason in zip(items, reasons, strict=True) if reason]
    if not bad:
        return []
    return [
        f"{len(bad)} of {counted(len(items), 'image')} cannot be used:\n{shortened(bad)}\n"
        "Replace or remove them, or drop them with data.on_corrupt=drop."
    ]


def _conflicts(texts: Sequence[str]) -> list[str]:
    if not texts:
        return []
    return [
        f"more than one label for {counted(len(texts), 'image')}:\n{shortened(texts)}\n"
        "Keep the right one of each, or drop them all with data.on_conflict=drop."
    ]


def _first_drop(label: str, items: Sequence[ImageEntry], reasons: Sequence[str | None]) -> str:
    drops = zip(items, reasons, strict=True)
    return next(f"{item.source}: {reason}" for item, reason in drops if reason and item.label == label)
