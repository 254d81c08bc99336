"""Measures all models against each other: the base in PyTorch and in ONNX Runtime, and the variants."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
import torch

from src.compression.onnx.export import export_onnx
from src.compression.onnx.runtime import Predictor, load_onnx, torch_model
from src.core.errors import AssayError
from src.data.dataset.arrays import open_array
from src.data.dataset.index import read_split
from src.leaderboard.speed.machine import busy_elsewhere
from src.leaderboard.speed.peak_memory import peak_memory
from src.leaderboard.speed.table import ONNXRUNTIME, RATIOS, TORCH
from src.leaderboard.speed.timing import Images, Timing, TimingPlan, measure, ratio
from src.models.normalization import NormalizedModel
from src.models.numerics import deterministic
from src.models.saving import load_model

REFERENCES = (TORCH, ONNXRUNTIME)


@dataclass(frozen=True)
class BenchmarkedModel:
    """A model on disk, and the engine that runs it."""

    engine: Literal["torch", "onnx"]
    path: Path  # for torch the folder of a model

    def load(self, threads: int) -> Predictor:
        return torch_model(self.path) if self.engine == "torch" else load_onnx(self.path, threads)


@dataclass(frozen=True)
class BenchmarkResult:
    """What was measured."""

    metrics: dict[str, dict[str, float]]  # of each model by its name, the references first
    bytes_of_reference: int  # of the base's export
    busy_percent: float  # of the processor that others used just before
    refusal: str | None  # why there are no ratios of speeds; None if there are


def read_images(images: Path, split: Path, largest_batch: int) -> Images:
    """Validation images (n, C, H, W), as many as four of the largest batches need, and one at least."""
    rows = np.flatnonzero(read_split(split, images.parent)[0] == "val")[: 4 * largest_batch]
    # a small validation split is repeated to fill a large batch
    return np.ascontiguousarray(open_array(images)[np.resize(rows, max(len(rows), largest_batch))])


def run_benchmark(
    base: Path,
    variants: Mapping[str, Path],
    images: Images,
    plan: TimingPlan,
    threads: int,
    advance: Callable[[int], None],
) -> BenchmarkResult:
    """Time all models in interleaved rounds, then measure how much memory each needs.

    Args:
        base: folder of the base model.
        variants: name -> .onnx file.
        images: (n, C, H, W), at least as many as the largest batch.
        plan: what is timed.
        threads: of each engine.
        advance: called after each turn of a model.

    Raises:
        AssayError: a variant has the name of a reference.
    """
    largest, busy = max(plan.batch_sizes), busy_elsewhere()  # before this process is busy itself
    with TemporaryDirectory() as folder, deterministic(threads):
        entries = _enter(base, variants, images, Path(folder))
        models = {name: entry.load(threads) for name, entry in entries.items()}
        timings = measure(models, images, plan, advance)
        memory = {
            name: peak_memory(entry.engine, entry.path, images[:largest], threads)
            for name, entry in entries.items()
        }
        size = entries[ONNXRUNTIME].path.stat().st_size
    ratios, refusal = _ratios(timings, largest)
    metrics = {
        name: {**timings[name].metrics(), "speed/peak_memory_mb": memory[name], **ratios[name]}
        for name in entries
    }
    return BenchmarkResult(metrics, size, busy, refusal)


def count_turns(plan: TimingPlan, variants: Mapping[str, Path]) -> int:
    """How often :func:`run_benchmark` calls ``advance``."""
    return (plan.warmup + plan.rounds) * (len(REFERENCES) + len(variants))


def speedups(timings: Mapping[str, Timing], batch_size: int) -> dict[str, dict[str, float]]:
    """How many times as fast as each reference, in images per second in batches of ``batch_size``.

    Raises:
        AssayError: the rounds are too few for a ratio.
    """
    rates = {name: timing.rates(batch_size) for name, timing in timings.items()}
    found: dict[str, dict[str, float]] = {name: {} for name in timings}
    for name, own in rates.items():
        for reference, metric in RATIOS.items():
            found[name] |= ratio(own, rates[reference]).metrics(metric)
    return found


def _enter(
    base: Path, variants: Mapping[str, Path], images: Images, folder: Path
) -> dict[str, BenchmarkedModel]:
    """The references, one of which is exported into ``folder``, then the variants."""
    taken = [name for name in REFERENCES if name in variants]
    if taken:
        raise AssayError(f"compress.variants.{taken[0]} has the name of a reference: rename the variant")
    network, spec = load_model(base)
    whole = NormalizedModel(network, spec.normalization.shift, spec.normalization.scale, spec.temperature)
    export_onnx(whole, torch.from_numpy(images[:2]), folder / "base.onnx")
    references = {
        TORCH: BenchmarkedModel("torch", base),
        ONNXRUNTIME: BenchmarkedModel("onnx", folder / "base.onnx"),
    }
    return references | {name: BenchmarkedModel("onnx", path) for name, path in variants.items()}


def _ratios(timings: Mapping[str, Timing], batch_size: int) -> tuple[dict[str, dict[str, float]], str | None]:
    """The ratios; or empty ones, and why."""
    try:
        return speedups(timings, batch_size), None
    except AssayError as error:
        return {name: {} for name in timings}, str(error)
