"""The style of all figures, and how they become files: equal figures give equal bytes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont
from matplotlib.ft2font import FT2Font

INK = "#22272e"  # text and the curve that matters
SOFT = "#6b7280"  # secondary text
RULE = "#d5d9e0"  # axes, grids, guides
BLUE = "#1f5fa8"
ORANGE = "#d9730d"
# Color-blind readers can tell them apart too (Petroff, 2021); ten at most.
CLASSES = (
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6",
    "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
)  # fmt: skip
LONGEST = 18  # letters of a class name

# The font ships with matplotlib, so a figure does not depend on the fonts of the machine.
STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "text.color": INK,
    "text.parse_math": False,  # a class may be called "$"
    "axes.titlesize": 11.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10.0,
    "axes.labelcolor": INK,
    "axes.edgecolor": RULE,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": RULE,
    "grid.linewidth": 0.5,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "xtick.major.size": 0.0,
    "ytick.major.size": 0.0,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "legend.title_fontsize": 8.0,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "figure.dpi": 100.0,
}


def styled() -> Any:
    """A context in which matplotlib has this style and none of the user's own settings."""
    settings: Any = {key: value for key, value in matplotlib.rcParamsDefault.items() if key != "backend"}
    return matplotlib.rc_context(settings | STYLE)


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, path: Path) -> Path:
    """Write a PNG without date and version, so that equal figures are equal files."""
    figure.savefig(path, format="png", dpi=150, metadata={"Software": None})
    return path


def legible(names: Sequence[str]) -> list[str]:
    """Class names that can be drawn: shortened, or numbered where the font lacks a letter."""
    return [_shorten(name) if _drawable(name) else f"class {index}" for index, name in enumerate(names)]


def subtitle(axes: Axes, text: str) -> None:
    """Write a small line at the right end of the title."""
    axes.set_title(text, loc="right", fontsize=8.0, fontweight="normal", color=SOFT)


def _shorten(name: str) -> str:
    """Cut out the middle: names often differ only at the end."""
    return name if len(name) <= LONGEST else f"{name[:10]}…{name[11 - LONGEST :]}"


def _drawable(name: str) -> bool:
    font = FT2Font(findfont("DejaVu Sans"))
    return all(font.get_char_index(ord(letter)) for letter in name)
