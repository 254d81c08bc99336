"""How a stage computes: held to AVX2, or as fast as this machine can; and whether that has changed."""

import os
import platform
from importlib import metadata
from pathlib import Path

from src.config.dotted_keys import is_under
from src.core.cpus import resolve_threads
from src.core.portable import HELD, hold_to_avx2
from src.pipeline.job import Job
from src.provenance.work_dir import WorkDir

# They do not know how the training computes, and being held costs them nothing.
ALWAYS_HELD = ("ingest", "split", "normalize")
OWN_THREADS = ("sweep", "cross_validate")  # parameters decide theirs
LEVELS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile")  # that libraries have kernels for
PACKAGES = ("numpy", "scipy", "torch", "onnxruntime")
CPUS, GPUS = Path("/proc/cpuinfo"), Path("/proc/driver/nvidia/gpus")  # Linux


def hold(job: Job, late: bool = False) -> None:
    """Hold the stage to AVX2 if it computes portably, before it imports NumPy or torch; ``late``: only the
    processes that it starts."""
    if is_portable(job):
        hold_to_avx2(late)


def is_portable(job: Job) -> bool:
    """Whether the result must have the same bytes on any CPU."""
    if job.stage in ALWAYS_HELD:
        return True
    return _declares(job, "train.precision") and job.loaded.config.train.precision == "portable"


def restart_if_changed(state: WorkDir, job: Job) -> None:
    """Delete what an interrupted run left if this machine would continue it with other numerics."""
    before, now = state.numerics(), machine_numerics(job)
    if before is not None and before != now:
        changes = [
            f"{key} {before.get(key, 'unknown')} before, {now.get(key, 'unknown')} now"
            for key in sorted(before.keys() | now.keys())
            if before.get(key) != now.get(key)
        ]
        job.say(f"starts again, because what decides the last bits has changed: {'; '.join(changes)}")
        state.restart()
    state.keep_numerics(now)


def machine_numerics(job: Job) -> dict[str, str]:
    """What decides the bytes of the result beside the lineage; a portable stage depends on no machine."""
    found = {name: _version(name) for name in PACKAGES}
    if is_portable(job):
        return {"precision": "portable", **found}
    if not _declares(job, "train.precision"):
        return {}  # it computes nothing that is tracked
    found |= {name: os.environ[name] for name in HELD if name in os.environ}
    if job.loaded.config.train.threads == "auto" and job.stage not in OWN_THREADS:
        found["threads"] = str(resolve_threads("auto"))
    return {**found, "cpu": _cpu(), "gpus": _gpus()}


def _declares(job: Job, key: str) -> bool:
    return is_under(key, job.graph.stage(job.address).parameters)


def _cpu(info: Path = CPUS) -> str:
    """``AuthenticAMD avx2 avx512f``: the maker and the instruction sets."""
    if not info.is_file():
        return platform.machine()
    lines = info.read_text(encoding="ascii", errors="replace").partition("\n\n")[0].splitlines()
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = fields.get("flags", "").split()
    return " ".join(
        [fields.get("vendor_id", platform.machine()), *(name for name in LEVELS if name in flags)]
    )


def _gpus() -> str:
    models = [
        line.partition(":")[2].strip()
        for about in sorted(GPUS.glob("*/information"))
        for line in about.read_text(encoding="ascii", errors="replace").splitlines()
        if line.startswith("Model:")
    ]
    return ", ".join(models) or "none"


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "missing"
