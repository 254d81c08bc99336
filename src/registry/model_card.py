"""A model card (Mitchell et al., 2019): what a registered model is for, what it can do and what it cannot."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from src.registry.image_roles import ImageRole

LONGEST = 5000  # characters that every registry takes as a description
SHOWN = 40  # names of classes
TEMPLATE = Path(__file__).with_name("model_card.md")
TASK = "image-classification"
# Rows of the table: title, metric, format, and whether it has a confidence interval.
ROWS = (
    ("Accuracy, validation", "val/accuracy", ".4f"),
    ("Change from the base model, validation", "val/accuracy/change", "+.4f"),
    ("Same class as the base model, validation", "val/agreement", ".4f"),
    ("Accuracy, test", "test/accuracy", ".4f"),
    ("Change from the base model, test", "test/accuracy/change", "+.4f"),
    ("Recall of the weakest class, test", "test/recall_min", ".4f"),
    ("Macro F1, test", "test/f1_macro", ".4f"),
    ("Calibration error, test", "test/calibration_error", ".4f"),
    ("Size of model.onnx in bytes", "model/bytes", ",.0f"),
    ("Parameters", "model/parameters", ",.0f"),
    ("Share of parameters that are zero", "model/sparsity", ".3f"),
    ("Multiply-accumulates per image", "model/macs", ",.0f"),
    ("Milliseconds per image, median", "speed/latency_p50_ms", ".3f"),
    ("Milliseconds per image, 95th percentile", "speed/latency_p95_ms", ".3f"),
    ("Images per second in batches of 64", "speed/throughput/64", ",.0f"),
)


@dataclass(frozen=True)
class ModelCardFacts:
    """What the card says about one version."""

    name: str  # of the registered model
    variant: str
    data: str  # name of the data set
    data_digest: str
    classes: Sequence[str]
    channels: int
    height: int  # pixels
    width: int
    resize_mode: str  # how an image of another shape gets there: pad, crop or stretch
    steps: Sequence[str]
    metrics: Mapping[str, float]  # by name; rows without a value are left out
    confidence: float  # of the intervals
    machine: str  # that the speed was measured on
    weakest: tuple[str, int, int] | None  # class it recalls worst: name, test images, and how many are right
    never_right: Sequence[str]  # classes with test images, none of which is right
    confusions: Sequence[tuple[str, str, int]]  # its most frequent errors: actual, predicted, test images
    decision: str | None  # the rule by which it answers, in words; None: the most probable class
    roles: Sequence[ImageRole]  # which images decided what
    lineage: str
    sha256: str  # of model.onnx
    commit: str
    dirty: Sequence[str]  # files that differ from the commit


def model_card(facts: ModelCardFacts) -> str:
    """Markdown with the metadata of a model card of Hugging Face in front."""
    shown = [_escaped(name) for name in facts.classes[:SHOWN]]
    values: dict[str, Any] = {
        **vars(facts),
        "shown": shown,
        "rest": len(facts.classes) - len(shown),
        "rows": _rows(facts),
        "decision": facts.decision and _escaped(facts.decision),
        "weakest_name": _escaped(facts.weakest[0]) if facts.weakest else None,
        "never_right": [_escaped(name) for name in facts.never_right[:SHOWN]],
        "confusions": [(_escaped(actual), _escaped(said), n) for actual, said, n in facts.confusions],
    }
    card = ModelCard.from_template(_metadata(facts), template_path=str(TEMPLATE), **values)
    return f"{card.content}\n"


def description_of(card: str) -> str:
    """The text of a card without its metadata, as a registry shows it; at most 5,000 characters."""
    text = str(ModelCard(card).text).strip() + "\n"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 2]}…\n"


def _metadata(facts: ModelCardFacts) -> ModelCardData:
    results = [
        EvalResult(
            task_type=TASK,
            dataset_type=facts.data,
            dataset_name=facts.data,
            dataset_split=split,
            metric_type="accuracy",
            metric_name=f"{scope}/accuracy",
            metric_value=facts.metrics[f"{scope}/accuracy"],
        )
        for scope, split in (("val", "validation"), ("test", "test"))
        if f"{scope}/accuracy" in facts.metrics
    ]
    return ModelCardData(
        model_name=f"{facts.name}: {facts.variant}",
        library_name="onnx",
        pipeline_tag=TASK,
        datasets=[facts.data],
        metrics=["accuracy"],
        eval_results=results or None,
    )


def _rows(facts: ModelCardFacts) -> list[str]:
    return [_row(facts, *row) for row in ROWS if row[1] in facts.metrics]


def _row(facts: ModelCardFacts, title: str, name: str, form: str) -> str:
    low, high = (facts.metrics.get(f"{name}/{end}") for end in ("low", "high"))
    interval = f"{low:{form}} to {high:{form}}" if low is not None and high is not None else ""
    return f"| {title} | {facts.metrics[name]:{form}} | {interval} |"


def _escaped(text: str) -> str:
    """As Markdown shows it literally."""
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>|#" else letter for letter in text)
