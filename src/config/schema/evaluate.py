"""Sections ``cross_validate``, ``evaluate`` and ``benchmark``."""

from typing import Annotated, Any, Literal

from pydantic import Field

from src.config.schema.base import Count, Section


class CrossValidate(Section):
    """Trainings on all folds of split.folds, each tested on the fold it has not seen."""

    nested: bool  # search inside each training part
    repeats: Count  # with other folds and seeds
    val: Annotated[float, Field(gt=0, lt=1)]  # share of a training part that chooses its epoch
    proxy: dict[str, Any]  # field: what it is in all folds, instead of what the training has
    threads: Count  # of a fold; changes the bytes of the result
    n_jobs: Literal["auto"] | Count  # folds at a time


class Evaluate(Section):
    """What is reported about the base model on the test split."""

    bootstrap: Annotated[int, Field(ge=100)]  # resamples
    confidence: Annotated[float, Field(gt=0, lt=1)]
    top_k: Annotated[int, Field(ge=2)]
    calibration_bins: Annotated[int, Field(ge=2)]
    mistakes: Count  # images in the gallery
    batch_size: Count


class Benchmark(Section):
    """How latency and throughput of the variants are measured: all in turn, in each of several rounds."""

    rounds: Count  # that count; fewer than 5 allow no ratio
    warmup: Annotated[int, Field(ge=0)]  # rounds before them, which are dropped
    calls: Count  # with one image, in each round and for each model
    batches: Count  # of each batch size, in each round and for each model
    batch_sizes: Annotated[list[Annotated[int, Field(ge=2)]], Field(min_length=1)]  # images, for throughput
    threads: Literal["auto"] | Count
