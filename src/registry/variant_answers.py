"""What each variant answered for the held-out images, as written by stage compress."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from src.config.schema.compress import BASELINE
from src.config.schema.register import JUDGED
from src.core.errors import AssayError
from src.core.metric_names import is_listed
from src.data.dataset.index import HeldOutRows, read_held_out, read_index, read_split
from src.data.dataset.spec import describe_split, require_same_data
from src.leaderboard.comparison.non_inferiority import NonInferiorityRule, Verdict, judge, measure_loss
from src.pipeline.paths import INGEST, MODELS, SPLIT
from src.registry.promotion import ValidationEvidence, image_names, paired_logits

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class VariantAnswers:
    """A variant's answers: those by which it is judged, and those that are only reported."""

    evidence: ValidationEvidence  # validation images
    test_targets: Integers  # (m,)
    test_predicted: Integers  # (m,)


def read_answers(variants: Sequence[str]) -> dict[str, VariantAnswers]:
    """The answers of each variant, and its training images.

    Raises:
        AssayError: they are of other data than are here.
    """
    data = describe_split(INGEST, SPLIT)
    for folder in (MODELS / variant for variant in variants):
        require_same_data(folder, INGEST, SPLIT, [folder], data)
    held, names = read_held_out(INGEST, SPLIT, data), image_names(read_index(INGEST).digests)
    trained_on, found = names[read_split(SPLIT, INGEST, data)[0] == "train"], {}
    for variant in variants:
        logits, val = _read_logits(variant, held), held.validation
        evidence = ValidationEvidence(names[held.ids[val]], held.targets[val], logits[val], trained_on)
        found[variant] = VariantAnswers(evidence, held.targets[~val], logits[~val].argmax(axis=1))
    return found


def judge_variants(answers: dict[str, VariantAnswers], rule: NonInferiorityRule) -> dict[str, Verdict]:
    """Whether each variant is non-inferior to the base; none if the base as ONNX could not be made."""
    if BASELINE not in answers:
        return {}
    base = answers[BASELINE].evidence
    losses = {
        name: measure_loss(*paired_logits(base, each.evidence), rule)
        for name, each in answers.items()
        if name != BASELINE
    }
    return judge(losses, rule)


def validation_metrics(
    answers: VariantAnswers | None, names: Iterable[str], rule: NonInferiorityRule
) -> dict[str, float]:
    """The metrics among ``names`` of validation images, from a variant's answers.

    Args:
        answers: Of a variant; None: it has none, as when it could not be made.
        names: Metrics of any scope, such as ``val/recall/cat``.
        rule: Has the settings of metrics that have any, and the classes.
    """
    from src.evaluation.metrics.by_name import metric_value  # imports torch
    from src.evaluation.metrics.classification import softmax

    wanted = [name for name in names if is_listed(name, JUDGED)]
    if answers is None or answers.evidence.logits is None or not wanted:
        return {}
    probabilities, targets = softmax(answers.evidence.logits), answers.evidence.targets
    settings = rule.classes, rule.top_k, rule.bins
    return {name: metric_value(name, probabilities, targets, *settings) for name in wanted}


def _read_logits(variant: str, held: HeldOutRows) -> NDArray[np.float32]:
    """Logits (n, K) for the held-out images."""
    from pyarrow import parquet

    path = MODELS / variant / "predictions.parquet"
    table = parquet.ParquetFile(path).read()
    if not all(np.array_equal(table[key].to_numpy(), getattr(held, f"{key}s")) for key in ("id", "target")):
        raise AssayError(
            f"{path} is of other images than {SPLIT} holds out. Make it again: dvc repro compress@{variant}"
        )
    classes = sum(name.startswith("logit_") for name in table.column_names)
    return np.stack([table[f"logit_{k}"].to_numpy() for k in range(classes)], axis=1)
