"""The findings of an inspection in sentences: facts, and doubts that a person should check."""

from collections.abc import Iterator

import numpy as np

from src.core.wording import listed
from src.data.ingestion.listing import SPLITS
from src.proposal.inspection import Inspection

TINY = 32  # pixels: shorter sides than that show little
LONG = 3.0  # times the shorter side: most of a padded square would be padding
FEW = 10  # images of a class, below which no metric of it means much
UNEVEN = 10  # times the smallest class
SHOWN = 3  # examples in a sentence
NAMES = {
    "image_folder": "a folder for each class",
    "csv": "a labels.csv",
    "idx": "idx files",
}


def facts(found: Inspection) -> Iterator[str]:
    """Layout, classes, formats, sizes, colors, splits."""
    counts, total = found.counts, len(found.listing.items)
    yield f"{total:,} images in {len(counts)} classes, as {NAMES[found.source]}."
    if not found.complete:
        yield f"{len(found.rows):,} of them, evenly spread, were decoded and compared; the rest was counted."
    least, most = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
    yield (
        f"Images of a class: {counts[least]:,} ({least}) to {counts[most]:,} ({most}), median "
        f"{int(np.median([*counts.values()])):,}."
    )
    shown = ", ".join(f"{name} {number:,}" for name, number in found.formats.most_common())
    colored = int(found.colored.sum())
    yield f"Formats: {shown}; {colored:,} with color, {len(found.rows) - colored:,} gray."
    yield _sizes(found)
    given = {name: sum(item.given_split == name for item in found.listing.items) for name in SPLITS}
    if any(given.values()):
        yield "Given splits: " + ", ".join(f"{name} {number:,}" for name, number in given.items()) + "."
    groups = {item.group for item in found.listing.items if item.group}
    if groups:
        yield f"Given groups: {len(groups):,}, each of which stays on one side of every split."


def doubts(found: Inspection) -> Iterator[str]:
    """What a person should check, a sentence each; all counts are of the decoded images."""
    yield from (f"{_capital(note)}." for note in found.listing.notes)
    yield from _damaged(found)
    yield from _copies(found)
    yield from _odd_shapes(found)
    yield from _uneven(found)
    if found.transparent:
        yield f"{_images(found.transparent)} can have transparent parts, which become white."
    told = _told_by_format(found)
    if told:
        yield f"The file format tells classes apart ({told}): a network may learn what it did to the pixels."
    if found.listing.ignored:
        yield f"Ignored, because no image of a class: {listed(found.listing.ignored, SHOWN)}."
    if found.subject and found.subject.obvious:
        yield (
            f"Names such as {found.subject.example} say what belongs together ({found.subject.subjects:,} "
            "subjects): all images of one stay on one side of every split."
        )
    elif found.subject:
        yield (
            f"Names such as {found.subject.example} are shared by several images ({found.subject.subjects:,} "
            "names): if they show one person, animal or place, keep them together with "
            f"data.subject='{found.subject.subject}', or the test results are too good."
        )


def _sizes(found: Inspection) -> str:
    sizes = found.original_sizes
    if (sizes == sizes[0]).all():
        return f"All are {sizes[0][0]} × {sizes[0][1]} pixels (width × height)."
    low, median, high = (np.percentile(sizes, q, axis=0).astype(int) for q in (5, 50, 95))
    return (
        f"Sizes, width × height: median {median[0]} × {median[1]} pixels; nine of ten are "
        f"{low[0]} to {high[0]} wide and {low[1]} to {high[1]} high."
    )


def _damaged(found: Inspection) -> Iterator[str]:
    if found.unreadable:
        yield f"{_images(len(found.unreadable))} cannot be read, such as {found.unreadable[0]}; left out."
    if found.conflicts:
        yield (
            f"Images in more than one class: {len(found.conflicts):,}. All copies of them are left out, such "
            f"as {found.conflicts[0]}. Keep each in the right class only."
        )


def _copies(found: Inspection) -> Iterator[str]:
    repeated = found.duplicates - sum(line.count(" = ") for line in found.conflicts)
    if repeated > 0:
        yield f"Copies of another image of their class: {repeated:,}; they stay on one side of every split."
    if len(found.near):
        yield f"Pairs of near copies: {len(found.near):,}; they stay in the same split."


def _odd_shapes(found: Inspection) -> Iterator[str]:
    shorter, longer = found.original_sizes.min(axis=1), found.original_sizes.max(axis=1)
    tiny, long = int((shorter < TINY).sum()), int((longer > LONG * shorter).sum())
    if tiny == len(shorter):
        yield f"All images are smaller than {TINY} pixels: only simple patterns can be told apart."
    elif tiny:
        yield f"{_images(tiny)} with a side of less than {TINY} pixels."
    if long:
        yield f"{_images(long)} with a side more than {LONG:g} times the other, so mostly padded."


def _uneven(found: Inspection) -> Iterator[str]:
    counts = found.counts
    few = [f"{name} ({number})" for name, number in counts.items() if number < FEW]
    if few:
        yield (
            f"Classes with fewer than {FEW} images: {listed(few, SHOWN)}. What is reported of such a "
            "class rests on one or two test images."
        )
    ratio = max(counts.values()) / min(counts.values())
    if ratio >= UNEVEN:
        yield (
            f"The largest class has {ratio:.0f} times the images of the smallest: accuracy says little about "
            "small classes, so look at macro F1 too (--goal balanced)."
        )


def _told_by_format(found: Inspection) -> str:
    """Formats that some classes have and others lack entirely."""
    alone = {name: next(iter(each)) for name, each in found.formats_by_class.items() if len(each) == 1}
    if len(alone) < len(found.formats_by_class) or len(set(alone.values())) < 2:
        return ""
    first = {kind: name for name, kind in sorted(alone.items(), reverse=True)}
    return ", ".join(f"{name}: {kind}" for kind, name in sorted(first.items(), key=lambda pair: pair[1]))


def _images(count: int) -> str:
    return f"{count:,} image{'s' * (count != 1)}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
