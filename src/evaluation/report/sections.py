"""The sections of the report that the configuration asks for: corruptions, subgroups, a decision rule."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from src.config.schema.evaluate import Evaluate
from src.data.dataset.index import read_calibration, read_index
from src.evaluation.fitted.decision import fit_rule, refuse_impossible
from src.evaluation.predictions import Predictions
from src.evaluation.report.decision import publish_decision
from src.evaluation.report.robustness import publish_robustness
from src.evaluation.report.subgroups import publish_subgroups
from src.evaluation.robustness.answers import predict_corrupted
from src.evaluation.robustness.subgroups import describe_gap, subgroup_metrics


@dataclass(frozen=True)
class Section:
    """What a section adds to the terminal, to MLflow and to metrics.json."""

    sentence: str
    figures: list[Path]
    metrics: dict[str, float] = field(default_factory=dict)


def report_corruptions(
    folder: Path,
    tested: Predictions,
    settings: Evaluate,
    seed: int,
    model: Path,
    images: Path,
    device: str,
    show: bool,
) -> Section:
    """Ask the model about corrupted test images, and write what they cost.

    Args:
        folder: receives robustness.csv, corrupted.parquet and robustness.png.
        tested: predictions for the images as they are.
        settings: section ``evaluate``.
        seed: of the configuration.
        model: folder of the model.
        images: file of the image array, (N, C, H, W).
        device: auto, cpu, cuda or cuda:N.
        show: whether to draw a progress bar.
    """
    answers = predict_corrupted(
        settings.corruptions,
        tested.ids,
        model,
        images,
        batch_size=settings.batch_size,
        device=device,
        seed=seed,
        show=show,
    )
    found, figure = publish_robustness(folder, answers, tested, images, settings, seed)
    return Section(found.sentence(), [figure], found.means)


def report_subgroups(
    folder: Path, tested: Predictions, columns: Mapping[str, Sequence[str]], settings: Evaluate, seed: int
) -> Section:
    """Write how often the model is right in each subgroup; the arguments are those of `publish_subgroups`."""
    found, figure = publish_subgroups(folder, tested, columns, settings, seed)
    return Section(describe_gap(found), [figure], subgroup_metrics(found))


def report_decision(folder: Path, fitting: Predictions, tested: Predictions, settings: Evaluate) -> Section:
    """Fit the decision rule, which must not be argmax, and write what it does.

    Args:
        folder: receives decision.json, and with abstention coverage.csv and coverage.png.
        fitting: predictions for the images that the rule is fitted to.
        tested: predictions for the test images.
        settings: section ``evaluate``.
    """
    rule = fit_rule(settings.decision, fitting.probabilities, fitting.targets, fitting.classes, fitting.split)
    assert rule is not None  # only argmax needs none
    figures, sentence = publish_decision(folder, rule, fitting, tested, settings.confidence)
    return Section(sentence, figures)


def fitting_split(settings: Evaluate, ingest: Path, split: Path) -> str:
    """The split whose images the decision rule is fitted to; ``ingest`` and ``split``: folders of the stages.

    Raises:
        AssayError: its images do not allow such a rule.
    """
    rows = read_calibration(ingest, split)
    refuse_impossible(settings.decision, read_index(ingest).classes, rows.targets)
    return rows.split
