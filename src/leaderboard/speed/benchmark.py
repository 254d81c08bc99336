"""All models against each other: the base in PyTorch and in ONNX Runtime as references, and the variants."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import torch

from src.compression.onnx.export import export_onnx
from src.compression.onnx.runtime import Predictor, load_onnx, torch_model
from src.core.errors import AssayError
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
    """A model on the disk and what runs it."""

    engine: Literal["torch", "onnx"]
    path: Path  # for torch the folder of a model

    def load(self, threads: int) -> Predictor:
        return torch_model(self.path) if self.engine == "torch" else load_onnx(self.path, threads)


@dataclass(frozen=True)
class BenchmarkResult:
    """What was found."""

    metrics: dict[str, dict[str, float]]  # of each model by its name, the references first
    bytes_of_reference: int  # of the base's export
    busy_percent: float  # of the processor that others used just before
    refusal: str | None  # why there are no ratios of speeds, if there are none


def run_benchmark(
    base: Path,
    variants: Mapping[str, Path],
    images: Images,
    plan: TimingPlan,
    threads: int,
    advance: Callable[[int], None],
) -> BenchmarkResult:
    """Time all in interleaved rounds, then find out how much memory each needs.

    ``base``: folder of a model; ``variants``: name -> .onnx file; ``images``: (n, C, H, W), as many as the
    largest batch or more. ``advance`` is told of each turn: ``plan``'s rounds times (variants + references).
    Raises AssayError for a variant with the name of a reference.
    """
    largest, busy = max(plan.batch_sizes), busy_elsewhere()  # before anything here can be busy itself
    with TemporaryDirectory() as folder, deterministic(threads):
        entries = _enter(base, variants, images, Path(folder))
        models = {name: entry.load(threads) for name, entry in entries.items()}
        timings = measure(models, images, plan, advance)
        memory = {name: _memory(entry, images[:largest], threads) for name, entry in entries.items()}
        size = entries[ONNXRUNTIME].path.stat().st_size
    ratios, refusal = _ratios(timings, largest)
    figures = {name: {**timings[name].metrics(), **memory[name], **ratios[name]} for name in entries}
    return BenchmarkResult(figures, size, busy, refusal)


def speedups(timings: Mapping[str, Timing], batch_size: int) -> dict[str, dict[str, float]]:
    """How many times as fast as each reference, in images a second in batches of ``batch_size``.

    Raises:
        AssayError: too few rounds to say so.
    """
    rates = {name: timing.rates(batch_size) for name, timing in timings.items()}
    found: dict[str, dict[str, float]] = {name: {} for name in timings}
    for name, own in rates.items():
        for reference, figure in RATIOS.items():
            times = ratio(own, rates[reference])
            found[name] |= {figure: times.value, f"{figure}_low": times.low, f"{figure}_high": times.high}
    return found


def _enter(
    base: Path, variants: Mapping[str, Path], images: Images, folder: Path
) -> dict[str, BenchmarkedModel]:
    """The references, of which one is exported into ``folder``, then the variants."""
    taken = [name for name in REFERENCES if name in variants]
    if taken:
        raise AssayError(f"compress.variants.{taken[0]}: a reference has this name. Give the variant another")
    network, spec = load_model(base)
    whole = NormalizedModel(network, spec.normalization.shift, spec.normalization.scale)
    export_onnx(whole, torch.from_numpy(images[:2]), folder / "base.onnx")
    references = {
        TORCH: BenchmarkedModel("torch", base),
        ONNXRUNTIME: BenchmarkedModel("onnx", folder / "base.onnx"),
    }
    return references | {name: BenchmarkedModel("onnx", path) for name, path in variants.items()}


def _memory(entry: BenchmarkedModel, images: Images, threads: int) -> dict[str, float]:
    return {"peak_memory_mb": peak_memory(entry.engine, entry.path, images, threads)}


def _ratios(timings: Mapping[str, Timing], batch_size: int) -> tuple[dict[str, dict[str, float]], str | None]:
    """The ratios, or none for anyone and why."""
    try:
        return speedups(timings, batch_size), None
    except AssayError as error:
        return {name: {} for name in timings}, str(error)
