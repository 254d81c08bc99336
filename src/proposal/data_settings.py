"""How the images are read and divided: sections ``data`` and ``split``."""

from typing import Any

import numpy as np

from src.core.errors import AssayError
from src.data.splitting.report import SplitSettings, split_and_report
from src.proposal.findings import FEW
from src.proposal.inspection import VAL, Inspection
from src.proposal.setting import Setting

STABLE_FROM = 50  # images of the smallest class, from which shares that vary a little do no harm
FOLDS, TEST = 5, 0.2  # as in conf/split/default.yaml


def data_settings(found: Inspection, name: str, image_size: tuple[int, int]) -> list[Setting]:
    """What conf/data/NAME.yaml says beside its base; ``image_size`` is height and width, pixels."""
    median = np.median(found.original_sizes, axis=0).astype(int)
    height, width = image_size
    settings = [
        Setting("name", name),
        Setting("source", found.source),
        Setting(
            "image_size",
            [height, width],
            f"pixels; the originals have {median[0]} × {median[1]} (median, width × height)",
        ),
        Setting(
            "channels",
            found.channels,
            f"{int(found.colored.sum()):,} of {len(found.rows):,} images have color",
        ),
    ]
    if found.conflicts or not found.complete:
        why = "some images are in two classes" if found.conflicts else "not all were compared"
        settings.append(Setting("on_conflict", "drop", why))
    if found.subject and found.subject.obvious:
        settings.append(
            Setting(
                "subject",
                found.subject.subject,
                f"{found.subject.subjects:,} of them, such as {found.subject.example}",
            )
        )
    return settings


def split_settings(found: Inspection) -> tuple[list[Setting], list[str]]:
    """Settings of section ``split``, and the classes that are too small to be tested, as that stage finds."""
    smallest = min(found.counts.values())
    method = "stratified" if smallest < STABLE_FROM else "stable"
    why = (
        f"exact shares of every class, the smallest of {smallest:,} images; images that you add later move "
        "old ones"
        if method == "stratified"
        else "images that you add later move no old ones"
    )
    settings = [Setting("split.method", method, why)]
    if not found.complete:
        small = [Setting("split.rare", "train", "some classes may be too small to be held out")]
        return [*settings, *(small if smallest < FEW else [])], []
    if _can_divide(found, method):
        return settings, []
    untested = _untested(found, method)
    reason = f"too small to be held out: {', '.join(untested)}" if untested else "too small for some folds"
    return [*settings, Setting("split.rare", "train", reason)], untested


def describe_split(settings: list[Setting]) -> list[str]:
    """A sentence if images may change places when new ones are added."""
    if not any((each.key, each.value) == ("split.method", "stratified") for each in settings):
        return []
    return [
        "The split is stratified: every class gets its exact share, which matters with so few images, but "
        "images that you add later move old ones to other splits, and results before and after are then not "
        "comparable. If you will add images, set split.method=stable."
    ]


def describe_untested(untested: list[str]) -> list[str]:
    """A sentence, if there are such classes."""
    if not untested:
        return []
    return [
        f"Classes with too few different images to be held out: {', '.join(untested)}. They are trained on, "
        "and not tested."
    ]


def _can_divide(found: Inspection, method: str) -> bool:
    try:
        _divide(found, method, "refuse")
    except AssayError:
        return False
    return True


def _untested(found: Inspection, method: str) -> list[str]:
    """Classes that are only trained on."""
    missing = _divide(found, method, "train")["missing"]
    return list(dict.fromkeys(gap["class"] for gap in missing))


def _divide(found: Inspection, method: Any, rare: Any) -> dict[str, Any]:
    """The report of stage ``split`` with these settings."""
    settings = SplitSettings(method, VAL, TEST, FOLDS, rare, "group", 0.995, seed=0)
    kept = np.array([place not in found.conflicting for place in range(len(found.rows))])
    return split_and_report(found.index(), found.images[kept], settings, show=False).report
