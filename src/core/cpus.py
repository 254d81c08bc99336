"""How many CPUs this process may use, and the numbers of threads and processes that follow."""

import os
from pathlib import Path

THREADS = "ASSAY_THREADS"  # environment variable: overrides `threads: auto`; src.audit sets it
QUOTA = Path("/sys/fs/cgroup/cpu.max")  # Linux containers: microseconds allowed, of a period


def resolve_threads(threads: str | int) -> int:
    """Number of threads; ``auto`` means all CPUs that this process may use."""
    return int(os.environ.get(THREADS) or available_cpus()) if threads == "auto" else int(threads)


def available_cpus(quota: Path = QUOTA) -> int:
    """CPUs that this process may use, as limited by its affinity and its container's quota."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    cpus = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, min(cpus, _allowed(quota) or cpus))


def resolve_n_jobs(n_jobs: str | int, threads: int) -> int:
    """Number of processes; ``auto`` means as many as there are CPUs for, at ``threads`` each."""
    return max(1, available_cpus() // threads) if n_jobs == "auto" else int(n_jobs)


def _allowed(quota: Path) -> int | None:
    """CPUs in a file ``"150000 100000"``, rounded up to 2; None for ``"max 100000"`` or no file."""
    try:
        limit, period = quota.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return None
    return None if limit == "max" else -(-int(limit) // int(period))
