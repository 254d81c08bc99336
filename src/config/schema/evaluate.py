"""Sections ``cross_validate``, ``evaluate`` and ``benchmark``."""

from typing import Annotated, Any, Literal

from pydantic import Field

from src.config.schema.base import Count, Section


class CrossValidate(Section):
    """Trainings on all folds of split.folds, each tested on the fold it has not seen."""

    nested: bool = Field(
        description="Search again within each training part, so that not even the settings have seen the fold"
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


class Evaluate(Section):
    """What is reported about the base model on the test split."""

    bootstrap: Annotated[int, Field(ge=100)] = Field(description="Resamples for the intervals")
    confidence: Annotated[float, Field(gt=0, lt=1)] = Field(description="Confidence level of the intervals")
    top_k: Annotated[int, Field(ge=2)] = Field(description="Classes among which the true one counts as found")
    calibration_bins: Annotated[int, Field(ge=2)] = Field(description="Bins of the reliability diagram")
    mistakes: Count = Field(description="Images in the gallery of the worst mistakes")
    batch_size: Count = Field(description="Images in a batch")


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
