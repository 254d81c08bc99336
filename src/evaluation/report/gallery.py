"""The gallery of misclassified images."""

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes

from src.evaluation.report.misclassified import Misclassified
from src.plotting.style import SOFT, new_figure, save, styled

INCHES = 1.7  # width of an image
GAP = 0.07  # between images, in widths of one
HEADING = 0.22  # above all of them, in widths of one


def draw_mistakes(path: Path, mistakes: Sequence[Misclassified], total: int, images: int) -> Path:
    """Draw the given mistakes in reading order, of ``total`` among ``images``."""
    if not mistakes:
        return _draw_no_mistakes(path, images)
    columns = min(8, max(3, math.ceil(math.sqrt(len(mistakes)))))
    rows = math.ceil(len(mistakes) / columns)
    height = mistakes[0].image.shape[1] / mistakes[0].image.shape[2]  # in widths
    caption = 0.30 if all(map(_is_short, mistakes)) else 0.42
    across, down = columns * (1 + GAP) + GAP, rows * (height + caption) + HEADING
    with styled():
        figure = new_figure(INCHES * across, INCHES * down)
        figure.set_layout_engine(None)
        # one pair of axes for all: a layout of many takes seconds
        axes = figure.add_axes((0, 0, 1, 1), xlim=(-GAP, across - GAP), ylim=(down, 0))
        axes.set_axis_off()
        title = _mistakes_title(len(mistakes), total, images)
        axes.text(0, 0.12, title, fontsize=11.0, fontweight="bold", va="top")
        for index, mistake in enumerate(mistakes):
            left, top = (index % columns) * (1 + GAP), (index // columns) * (height + caption) + HEADING
            _draw_mistake(axes, mistake, left, top + caption - 0.06, height)
        return save(figure, path)


def _draw_mistake(axes: Axes, mistake: Misclassified, left: float, top: float, height: float) -> None:
    """Draw the image with its upper left corner at (``left``, ``top``), and the caption above it."""
    gray = mistake.image.shape[0] == 1
    picture = mistake.image[0] if gray else mistake.image.transpose(1, 2, 0)  # (H, W) or (H, W, 3)
    axes.imshow(
        picture,
        cmap="gray",
        vmin=0,
        vmax=255,
        extent=(left, left + 1, top + height, top),
        aspect="auto",
        interpolation="nearest" if max(picture.shape[:2]) <= 64 else "antialiased",
    )
    names = f"{mistake.actual}{' ' if _is_short(mistake) else chr(10)}→ {mistake.predicted}"
    share = f"{mistake.confidence:.0%}"
    axes.text(left + 0.5, top - 0.12, names, ha="center", va="bottom", fontsize=8.0)
    axes.text(left + 0.5, top - 0.02, share, ha="center", va="bottom", fontsize=7.0, color=SOFT)


def _is_short(mistake: Misclassified) -> bool:
    """Whether both names fit in one line."""
    return len(mistake.actual) + len(mistake.predicted) <= 20


def _mistakes_title(shown: int, total: int, images: int) -> str:
    which = f"All {total:,}" if shown == total else f"The {shown} most confident of {total:,}"
    mistakes = "The only mistake" if total == 1 else f"{which} mistakes"
    return f"{mistakes} among {images:,} test images (actual → predicted)"


def _draw_no_mistakes(path: Path, images: int) -> Path:
    with styled():
        figure = new_figure(5.6, 1.6)
        text = f"No mistakes among {images:,} test images"
        figure.text(0.5, 0.5, text, ha="center", va="center", fontsize=11.0)
        return save(figure, path)
