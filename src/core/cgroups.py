"""What the container, or any other control group of Linux, allows this process.

https://docs.kernel.org/admin-guide/cgroup-v2.html and https://docs.kernel.org/admin-guide/cgroup-v1/
"""

from collections.abc import Iterator
from pathlib import Path

MOUNT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")


def cpu_limit(mount: Path = MOUNT, own: Path = OWN) -> float | None:
    """CPUs that may be used on average; None: all."""
    quotas = (_quota(folder) for folder in _groups("cpu", mount, own))
    return min((quota for quota in quotas if quota is not None), default=None)


def memory_limit(mount: Path = MOUNT, own: Path = OWN) -> int | None:
    """Bytes of memory that may be used; None: all. Version 1 writes a huge number for all."""
    limits = (
        _number(folder / name)
        for folder in _groups("memory", mount, own)
        for name in ("memory.max", "memory.limit_in_bytes")
    )
    return min((limit for limit in limits if limit is not None), default=None)


def _groups(controller: str, mount: Path, own: Path) -> Iterator[Path]:
    """The folders of this process's group and of those it is in: every one of them may set a limit."""
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = mount / controller if controllers else mount  # version 2 names no controllers
        group = top / path.lstrip("/")
        yield from (folder for folder in (group, *group.parents) if folder.is_relative_to(top))


def _quota(group: Path) -> float | None:
    """``cpu.max`` is "150000 100000" (microseconds of a period) or "max 100000"; version 1 has two files."""
    try:
        limit, period = (group / "cpu.max").read_text(encoding="ascii").split()
        return None if limit == "max" else int(limit) / int(period)
    except (OSError, ValueError):
        limits = _number(group / "cpu.cfs_quota_us"), _number(group / "cpu.cfs_period_us")
    quota, length = limits
    return quota / length if quota and length and quota > 0 else None


def _number(path: Path) -> int | None:
    """The number in a file; None if the file is missing or says "max"."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
