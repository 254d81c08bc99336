"""Device, threads, precision and seeds: what besides its inputs decides the bytes of a result."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from src.config.schema.train import Train
from src.core.cpus import resolve_threads
from src.core.errors import AssayError
from src.models.held_libraries import check_held
from src.models.pooling import register_pooling_gradient


def wall_clock() -> float:
    """Seconds, after the GPU has finished: it computes while Python continues."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.synchronize()
    return time.perf_counter()


def choose_device(name: str) -> torch.device:
    """``auto`` takes the first GPU, else the CPU.

    Raises:
        AssayError: the GPU does not exist.
    """
    if name == "auto":
        return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise AssayError(
            f"machine.device={name}, but torch {torch.__version__} sees {torch.cuda.device_count()} GPUs: "
            "set machine.device=auto, or install torch with CUDA"
        )
    return torch.device("cuda", device.index or 0) if device.type == "cuda" else device


def resolve_precision(precision: str, device: torch.device, network: nn.Module) -> str:
    """``fp32``, ``bf16``, ``fp16`` or ``portable``; ``auto`` takes bf16 where it is faster.

    bf16 is faster on a GPU that has it, and on a CPU with instructions for it, unless the network has
    depthwise convolutions, which are slower in bf16 there.

    Raises:
        AssayError: fp16 is requested on a CPU.
    """
    if precision == "fp16" and device.type == "cpu":
        raise AssayError(
            "train.precision=fp16 needs a GPU: a CPU has no fast instructions for it. Set "
            "train.precision=bf16, or auto, which takes bf16 where that is faster"
        )
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if _cpu_has_bf16() and not _has_depthwise(network) else "fp32"


def resolve_numerics(train: Train, device: torch.device, network: nn.Module) -> dict[str, str | int]:
    """All that decides the bytes of a training beside its inputs."""
    precision = resolve_precision(train.precision, device, network)
    return numerics(device, threads_of(train), precision)


def threads_of(train: Train) -> int:
    """Computing threads; one for portable results, because sums depend on how many threads share them."""
    return 1 if train.precision == "portable" else resolve_threads(train.threads)


def numerics(device: torch.device, threads: int, precision: str) -> dict[str, str | int]:
    """What decides the bytes of a computation with torch beside its inputs.

    Of portable ones nothing about the machine does, which ``computing`` makes sure of.
    """
    if precision == "portable":
        return {
            "torch": str(torch.__version__),
            **{"device": "cpu", "cpu": "AVX2", "threads": 1, "precision": precision},
        }
    return {
        "torch": str(torch.__version__),  # a subclass of str otherwise, which a checkpoint cannot hold
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "threads": threads,
        "precision": precision,
    }


def seed_torch(seed: int, device: torch.device) -> None:
    """Seed what draws numbers on the CPU and on ``device``.

    ``torch.manual_seed`` gives the same numbers, but queues a call, with a traceback, for each kind of
    accelerator that has not been initialized. That costs a millisecond per step, and memory.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


@contextmanager
def computing(train: Train) -> Iterator[int]:
    """Compute as ``train`` says, with deterministic algorithms only; yields the number of threads.

    Raises:
        AssayError: portable results are wanted, and the libraries are not held to AVX2.
    """
    if train.precision == "portable":
        check_held()
    threads = threads_of(train)
    with deterministic(threads):
        yield threads


@contextmanager
def deterministic(threads: int) -> Iterator[None]:
    """Use only deterministic algorithms and this many threads; restores what was set before."""
    # cuBLAS reads it when it starts, and is deterministic only with a workspace of fixed size.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    fill = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    benchmark = torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(threads)
    # Filling every new tensor guards against reading uninitialized memory; it costs a pass.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    if torch.cuda.is_available():
        register_pooling_gradient()
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.set_num_threads(before[1])
        torch.utils.deterministic.fill_uninitialized_memory = fill  # type: ignore[attr-defined]
        torch.backends.cudnn.benchmark = benchmark


def _cpu_has_bf16() -> bool:
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _has_depthwise(network: nn.Module) -> bool:
    convolutions = [part for part in network.modules() if isinstance(part, nn.Conv2d)]
    return any(part.groups > 1 and part.groups == part.in_channels for part in convolutions)
