"""What corruptions of the test images cost: table, answers and figure."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from pyarrow import parquet

from src.config.schema.evaluate import CorruptionName, Evaluate
from src.core.csv_files import write_csv
from src.core.metric_names import with_limits
from src.core.wording import counted
from src.data.dataset.arrays import open_array
from src.data.dataset.spec import with_spec
from src.evaluation.metrics.classification import Integers, predict
from src.evaluation.predictions import Predictions
from src.evaluation.robustness.answers import Answers
from src.evaluation.robustness.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from src.evaluation.robustness.headline import COLUMNS, FEW, headline_metrics
from src.evaluation.uncertainty.bootstrap import bootstrap_means
from src.evaluation.uncertainty.intervals import UNKNOWN
from src.plotting.style import BLUE, ORANGE, SOFT, new_figure, save, styled

MEAN = "test/accuracy/corrupted"  # over all corruptions and severities
NONE = ("none", 0)  # corruption and severity of the images as they are
ANSWERS = "corrupted.parquet"
TABLE = "robustness.csv"

# Of the figure, in inches: panels with four images below each.
ACROSS = 3  # panels in a row
WIDTH, HEIGHT, IMAGE = 2.6, 1.7, 0.6
LEFT, TOP, ABOVE, BELOW, BETWEEN, GAP = 0.65, 0.55, 0.35, 0.55, 0.3, 0.06
ROW = ABOVE + HEIGHT + GAP + IMAGE + BELOW
NARROWEST = 4.0  # that the title fits into


@dataclass(frozen=True)
class Robustness:
    """Metrics of the n test images as they are and with each corruption at each severity."""

    rows: dict[tuple[str, int], dict[str, float]]  # {(corruption, severity): metrics}, `NONE` first
    means: dict[str, float]  # accuracy over all corruptions, and over the severities of each, by name
    images: int
    confidence: float  # of the intervals

    def sentence(self) -> str:
        """One line for the terminal."""
        corrupted = [row for row in self.rows if row != NONE]
        worst = min(corrupted, key=lambda row: self.rows[row]["test/accuracy"])
        found, plain = self.rows[worst], self.rows[NONE]["test/accuracy"]
        _, low, high = with_limits("test/accuracy")
        return (
            f"Corrupted test images: accuracy {self.means[MEAN]:.4f} on average ({plain:.4f} as they are); "
            f"lowest {found['test/accuracy']:.4f} ({found[low]:.3f} to {found[high]:.3f}) with {worst[0]} of "
            f"severity {worst[1]}"
        )


def publish_robustness(
    folder: Path, answers: Answers, tested: Predictions, images: Path, settings: Evaluate, seed: int
) -> tuple[Robustness, Path]:
    """Write table, answers and figure into ``folder``; returns what was found, and the figure.

    Args:
        folder: receives robustness.csv, corrupted.parquet and robustness.png.
        answers: for the corrupted test images.
        tested: predictions for them as they are.
        images: file of the image array, (N, C, H, W).
        settings: section ``evaluate``.
        seed: of the configuration.
    """
    plain, first = predict(tested.probabilities), int(tested.ids[0])
    found = measure_robustness(answers, plain, tested.targets, len(tested.classes), settings, seed)
    write_robustness(folder / TABLE, found)
    write_answers(folder / ANSWERS, answers, tested)
    return found, draw_robustness(folder / "robustness.png", found, open_array(images)[first], first, seed)


def measure_robustness(
    answers: Answers, plain: Integers, targets: Integers, classes: int, settings: Evaluate, seed: int
) -> Robustness:
    """Compare the answers for corrupted images with the truth.

    Args:
        answers: (n,) for each corruption and severity, at least one.
        plain: (n,) answers for the images as they are.
        targets: (n,).
        classes: their number.
        settings: section ``evaluate``.
        seed: decides the resamples.
    """
    rows = {NONE: headline_metrics(plain, targets, classes, settings, seed)}
    for row, found in answers.items():
        rows[row] = headline_metrics(found, targets, classes, settings, seed)
    right = {row: (found == targets).astype(np.float64) for row, found in answers.items()}
    shares = {MEAN: np.mean([*right.values()], axis=0)}
    for name in dict.fromkeys(name for name, _ in answers):
        shares[f"{MEAN}/{name}"] = np.mean([right[name, severity] for severity in SEVERITIES], axis=0)
    limits = dict.fromkeys(shares, UNKNOWN)
    if len(targets) >= FEW:
        limits = bootstrap_means(
            shares, resamples=settings.bootstrap, confidence=settings.confidence, seed=seed
        )
    means: dict[str, float] = {}
    for metric, values in shares.items():
        mean = (float(values.mean()), limits[metric].low, limits[metric].high)
        means |= zip(with_limits(metric), mean, strict=True)
    return Robustness(rows, means, len(targets), settings.confidence)


def write_robustness(path: Path, found: Robustness) -> None:
    """One line for each corruption and severity; a metric without an interval is blank."""
    rows = ([*row, found.images, *(metrics[name] for name in COLUMNS)] for row, metrics in found.rows.items())
    write_csv(path, ["corruption", "severity", "images", *COLUMNS], rows)


def write_answers(path: Path, answers: Answers, tested: Predictions) -> None:
    """Columns id, target, and blur/1 … with the predicted class; one line for each of the n images."""
    columns = {"id": tested.ids, "target": tested.targets}
    columns |= {f"{name}/{severity}": found for (name, severity), found in answers.items()}
    table = pa.table({name: pa.array(values, pa.int64()) for name, values in columns.items()})
    parquet.write_table(with_spec(table, tested.data), path, compression="zstd")


def read_answers(table: Mapping[str, NDArray[np.int64]]) -> Answers:
    """What :func:`write_answers` wrote, from its columns."""
    found: Answers = {}
    for column, answers in table.items():
        name, _, severity = column.partition("/")
        if severity:
            found[name, int(severity)] = answers  # type: ignore[index]  # columns are named after corruptions
    return found


def draw_robustness(path: Path, found: Robustness, image: NDArray[np.uint8], number: int, seed: int) -> Path:
    """Draw the accuracy with each corruption by severity, and below what the corruption makes of an image.

    Args:
        path: the PNG file.
        found: what to draw.
        image: (C, H, W).
        number: id of the image.
        seed: of the corruptions.
    """
    names = [name for name in CORRUPTIONS if (name, 1) in found.rows]
    across, down = min(ACROSS, len(names)), -(-len(names) // ACROSS)
    height = TOP + down * ROW
    with styled():
        figure = new_figure(max(NARROWEST, LEFT + across * (WIDTH + BETWEEN)), height)
        figure.set_layout_engine(None)
        _write_title(figure, found)
        for place, name in enumerate(names):
            left, bottom = LEFT + place % ACROSS * (WIDTH + BETWEEN), height - TOP - place // ACROSS * ROW
            bottom -= ABOVE + HEIGHT
            _draw_corruption(_add_axes(figure, left, bottom, HEIGHT), found, name, first=not place % ACROSS)
            below = _add_axes(figure, left, bottom - GAP - IMAGE, IMAGE)
            _draw_images(below, image, number, name, seed)
        return save(figure, path)


def _write_title(figure: Figure, found: Robustness) -> None:
    width, height = figure.get_size_inches()
    note = f"{100 * found.confidence:.4g}% intervals, {counted(found.images, 'image')}; dashed: as they are"
    up, text = 1 - 0.12 / height, "Accuracy on corrupted test images"
    figure.text(LEFT / width, up, text, fontsize=11.0, fontweight="bold", va="top")
    figure.text(LEFT / width, up - 0.24 / height, note, fontsize=8.0, color=SOFT, va="top")


def _add_axes(figure: Figure, left: float, bottom: float, tall: float) -> Axes:
    """Axes for what is drawn at the four severities 0 to 3; all in inches."""
    width, height = figure.get_size_inches()
    place = (left / width, bottom / height, WIDTH / width, tall / height)
    return figure.add_axes(place, xlim=(-0.5, len(SEVERITIES) + 0.5))


def _draw_corruption(axes: Axes, found: Robustness, name: CorruptionName, first: bool) -> None:
    """``first``: of its row, which names the vertical axis for all."""
    rows = [found.rows[NONE], *(found.rows[name, severity] for severity in SEVERITIES)]
    values, low, high = (np.array([row[column] for row in rows]) for column in with_limits("test/accuracy"))
    axes.axhline(values[0], color=ORANGE, linewidth=1.0, linestyle=(0, (4, 3)))
    reach = np.maximum((values - low, high - values), 0)  # rounding may bring an end within
    axes.errorbar(range(len(rows)), values, reach, color=BLUE, linewidth=1.0, capsize=4, fmt="o-", ms=3)
    axes.set(ylim=(0, 1.03), xticks=(), ylabel="Accuracy" if first else "")
    axes.tick_params(labelleft=first)
    axes.set_title("JPEG" if name == "jpeg" else name.capitalize(), fontsize=9.0)


def _draw_images(axes: Axes, image: NDArray[np.uint8], number: int, name: CorruptionName, seed: int) -> None:
    corrupted = [corrupt(image[None], np.array([number]), name, severity, seed)[0] for severity in SEVERITIES]
    ratio = WIDTH / (len(SEVERITIES) + 1) / IMAGE  # inches across and down
    for place, pixels in enumerate([image, *corrupted]):
        _, height, width = pixels.shape
        half = 0.46 * min(1, width / height)
        axes.imshow(
            pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0),
            cmap="gray",
            vmin=0,
            vmax=255,
            extent=(place - half, place + half, 1 - 2 * half * height / width * ratio, 1),
            aspect="auto",
            interpolation="nearest" if max(height, width) <= 64 else "antialiased",
        )
    strengths = CORRUPTIONS[name].strengths
    axes.set(xlim=(-0.5, len(SEVERITIES) + 0.5), ylim=(0, 1), yticks=())
    axes.set_xticks(range(len(strengths) + 1), ["none", *(f"{strength:g}" for strength in strengths)])
    axes.set_xlabel(CORRUPTIONS[name].unit, color=SOFT, fontsize=8.0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
