"""How many cores there are for this process, and what follows from it."""

import os

THREADS = "ASSAY_THREADS"  # environment: what `threads: auto` is, whatever the machine has; src.audit sets it


def resolve_threads(threads: str | int) -> int:
    """``auto``: all cores that this process may use."""
    return int(os.environ.get(THREADS) or available_cpus()) if threads == "auto" else int(threads)


def available_cpus() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def resolve_n_jobs(n_jobs: str | int, threads: int) -> int:
    """``auto``: as many processes of ``threads`` threads as there are cores for."""
    return max(1, available_cpus() // threads) if n_jobs == "auto" else int(n_jobs)
