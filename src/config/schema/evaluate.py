"""Sections ``cross_validate``, ``evaluate`` and ``benchmark``."""

import unicodedata
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from src.config.schema.base import Count, NotNegative, Section, Share


class CrossValidate(Section):
    """Trainings on all folds of split.folds, each tested on the fold it has not seen."""

    nested: bool = Field(
        description="Search again within each training part, so that no fold chooses its own settings"
    )
    repeats: Count = Field(description="Repeats of the whole, with other folds and seeds")
    val: Annotated[float, Field(gt=0, lt=1)] = Field(
        description="Share of each training part that chooses the epoch"
    )
    proxy: dict[str, Any] = Field(
        description="field: its value in all folds, for shorter trainings than the final one"
    )
    threads: Count = Field(description="Computing threads of one fold; changes the bytes of the result")
    n_jobs: Literal["auto"] | Count = Field(
        description="Folds at a time; auto: cores / threads. Changes no result"
    )


Reached = Annotated[float, Field(gt=0, le=1)]
CorruptionName = Literal["blur", "noise", "brightness", "contrast", "jpeg", "rotation"]
DecisionMethod = Literal["argmax", "thresholds", "costs", "abstain", "conformal"]
# field: the only method that reads it
OWNER = {
    "of_class": "thresholds",
    "precision": "thresholds",
    "recall": "thresholds",
    "costs": "costs",
    "confidence": "abstain",
    "accuracy": "abstain",
}
# field: the method that needs it, unless another field is set
ONE_OF = {"recall": ("thresholds", "precision"), "accuracy": ("abstain", "confidence")}


class Decision(Section):
    """How probabilities become an answer, see docs/decisions.md."""

    method: DecisionMethod = Field(
        description="argmax: the most probable class; thresholds: a class from its threshold on; costs: the "
        "class with the lowest expected cost; abstain: no answer when unsure; conformal: a set of classes"
    )
    of_class: str | None = Field(
        description="thresholds: the class of interest; null: a threshold for each class, for a precision"
    )
    precision: Reached | None = Field(description="thresholds: precision of each class, or of the class")
    recall: Reached | None = Field(description="thresholds: recall of the class of interest")
    costs: dict[str, dict[str, NotNegative]] = Field(
        description="costs: {actual class: {answer: cost}}; else a wrong answer costs 1, a right one 0"
    )
    confidence: Share | None = Field(description="abstain: lowest probability with which it answers")
    accuracy: Reached | None = Field(
        description="abstain: accuracy of what is answered, for which the lowest probability is chosen"
    )
    coverage: Share = Field(description="conformal: share of images whose set has their class")
    score: Literal["lac", "aps"] = Field(
        description="conformal: lac: smallest sets (Sadinle et al., 2019); aps: sets that grow where the "
        "model is unsure (Romano et al., 2020)"
    )

    @field_validator("of_class", mode="before")
    @classmethod
    def _name(cls, of_class: Any) -> Any:
        return str(of_class) if type(of_class) is int else of_class  # a digit, say

    @field_validator("costs", mode="before")
    @classmethod
    def _names(cls, costs: Any) -> Any:
        return (
            {cls._name(name): cls._names(each) for name, each in costs.items()}
            if isinstance(costs, dict)
            else costs
        )

    @field_validator(*OWNER)
    @classmethod
    def _is_of_the_method(cls, value: Any, before: ValidationInfo) -> Any:
        owner, method = OWNER[before.field_name or ""], before.data.get("method", "")
        if value not in (None, {}) and method not in ("", owner):
            raise ValueError(f"is for method={owner}, but got method={method}: set evaluate.decision.method")
        return value

    @field_validator("recall", "accuracy")
    @classmethod
    def _is_one_of_two(cls, value: float | None, before: ValidationInfo) -> float | None:
        name = before.field_name or ""
        method, other = ONE_OF[name]
        if before.data.get("method") == method and other in before.data:
            values = [before.data[other], value]
            if values.count(None) != 1:
                got = "neither" if value is None else f"{other}={values[0]} and {name}={value}"
                raise ValueError(f"method={method} needs either {other} or {name}, but got {got}")
        return value

    @field_validator("recall")
    @classmethod
    def _is_of_one_class(cls, recall: float | None, before: ValidationInfo) -> float | None:
        of_class = before.data.get("of_class", "")  # "": it is wrong itself
        if before.data.get("method") == "thresholds" and of_class is None and recall is not None:
            raise ValueError(
                "needs of_class: one answer cannot reach a recall for every class. Sets of classes can: "
                "method=conformal"
            )
        return recall


def is_fitted(decision: Decision) -> bool:
    """Whether the rule depends on images."""
    return decision.method in ("thresholds", "conformal") or (
        decision.method == "abstain" and decision.confidence is None
    )


class Evaluate(Section):
    """What is reported about the base model on the test split."""

    bootstrap: Annotated[int, Field(ge=100, le=10_000_000)] = Field(description="Resamples for the intervals")
    confidence: Annotated[float, Field(gt=0, lt=1)] = Field(description="Confidence level of the intervals")
    top_k: Annotated[int, Field(ge=2)] = Field(description="Classes among which the true one counts as found")
    calibration_bins: Annotated[int, Field(ge=2)] = Field(description="Bins of the reliability diagram")
    mistakes: Count = Field(description="Images in the gallery of the worst mistakes")
    batch_size: Count = Field(description="Images in a batch")
    corruptions: list[CorruptionName] = Field(
        description="Changes of the test images at three severities, to see what accuracy they cost; []: none"
    )
    subgroups: list[Annotated[str, Field(min_length=1)]] = Field(
        description="Columns of labels.csv; each of their values is a subgroup that gets metrics of its own"
    )
    decision: Decision

    @field_validator("corruptions", "subgroups")
    @classmethod
    def _name_each_once(cls, names: list[str]) -> list[str]:
        names = [unicodedata.normalize("NFC", name) for name in names]  # as `ingest` spells columns
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"names {', '.join(twice)} twice: name it once")
        return names


class Benchmark(Section):
    """How latency and throughput of the variants are measured: all in turn, in each of several rounds."""

    rounds: Count = Field(
        description="Rounds that count, each with all variants; fewer than 5 allow no ratio"
    )
    warmup: Annotated[int, Field(ge=0)] = Field(description="Rounds before those, which are dropped")
    calls: Count = Field(description="Calls with one image, per round and model")
    batches: Count = Field(description="Batches of each size, per round and model")
    batch_sizes: Annotated[list[Annotated[int, Field(ge=2)]], Field(min_length=1)] = Field(
        description="Images in a batch, for throughput"
    )
    threads: Literal["auto"] | Count = Field(description="Computing threads; auto: all cores")
