"""How many CPUs this process may use, and the numbers of threads and processes that follow."""

import math
import os

import psutil

from src.core.cgroups import cpu_limit, memory_limit

THREADS = "ASSAY_THREADS"  # environment variable: overrides `threads: auto`; src.audit sets it
WORKER_BYTES = 2**30  # that a process with torch takes, with some room for its data


def resolve_threads(threads: str | int) -> int:
    """Number of threads; ``auto`` means all CPUs that this process may use."""
    return int(os.environ.get(THREADS) or available_cpus()) if threads == "auto" else int(threads)


def available_cpus() -> int:
    """CPUs that this process may use, as limited by its affinity and its container; a part counts as one."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    cpus = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, min(cpus, math.ceil(cpu_limit() or cpus)))


def available_memory() -> int:
    """Bytes of memory that this process may use, as limited by its container."""
    total: int = psutil.virtual_memory().total
    return min(total, memory_limit() or total)


def resolve_n_jobs(n_jobs: str | int, threads: int) -> int:
    """Number of processes; ``auto`` means as many as there are CPUs for, at ``threads`` each, and memory."""
    if n_jobs != "auto":
        return int(n_jobs)
    return max(1, min(available_cpus() // threads, available_memory() // WORKER_BYTES))
