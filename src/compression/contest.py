"""Who is timed: the two references and the variants, as things that answer images."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from src.compression.export import export_onnx
from src.compression.peak_memory import peak_memory
from src.compression.serving import Answer, onnx_model, torch_model
from src.compression.timing import Images, Plan, Timing, measure, ratio
from src.errors import AssayError
from src.evaluation.speed import ONNXRUNTIME, RATIOS, TORCH
from src.models.normalized import NormalizedModel
from src.models.store import load_model


@dataclass(frozen=True)
class Entry:
    """A model on the disk and what runs it."""

    engine: Literal["torch", "onnx"]
    path: Path  # for torch the folder of a model

    def load(self, threads: int) -> Answer:
        return torch_model(self.path) if self.engine == "torch" else onnx_model(self.path, threads)


def enter(base: Path, variants: Mapping[str, Path], images: Images, folder: Path) -> dict[str, Entry]:
    """The base in PyTorch, its export in ONNX Runtime, then the ``variants`` (name -> .onnx file).

    The export goes into ``folder``. Raises AssayError for a variant with the name of a reference.
    """
    taken = [name for name in (TORCH, ONNXRUNTIME) if name in variants]
    if taken:
        raise AssayError(f"compress.variants.{taken[0]}: a reference has this name. Give the variant another")
    network, spec = load_model(base)
    whole = NormalizedModel(network, spec.normalization.shift, spec.normalization.scale)
    export_onnx(whole, torch.from_numpy(images[:2]), folder / "base.onnx")
    references = {TORCH: Entry("torch", base), ONNXRUNTIME: Entry("onnx", folder / "base.onnx")}
    return references | {name: Entry("onnx", path) for name, path in variants.items()}


def time_all(
    entries: Mapping[str, Entry], images: Images, plan: Plan, threads: int, advance: Callable[[int], None]
) -> dict[str, Timing]:
    """Seconds of all, in interleaved rounds; see ``timing.measure``. torch has its threads set already."""
    models = {name: entry.load(threads) for name, entry in entries.items()}
    return measure(models, images, plan, advance)


def memory_of_all(entries: Mapping[str, Entry], images: Images, threads: int) -> dict[str, dict[str, float]]:
    """What each needs at most to answer ``images``, one after the other, in MiB."""
    return {
        name: {"peak_memory_mb": peak_memory(entry.engine, entry.path, images, threads)}
        for name, entry in entries.items()
    }


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
