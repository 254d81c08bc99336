"""CPUs and memory as limited by a container, and what `auto` makes of them."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from src.core import cpus
from src.core.cgroups import MOUNT, cpu_limit, memory_limit
from src.core.cpus import THREADS, WORKER_BYTES, available_cpus, resolve_n_jobs, resolve_threads
from tests.support.workspaces import ROOT

GIB = 2**30


def groups(folder: Path, files: dict[str, str], own: str) -> tuple[Path, Path]:
    """A tree of control groups, and the file that says where this process is in it."""
    for name, content in files.items():
        (folder / "mount" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "mount" / name).write_text(content)
    (folder / "own").write_text(own)
    return folder / "mount", folder / "own"


@pytest.mark.parametrize(
    ("files", "own", "cpus"),
    [
        ({"cpu.max": "100000 100000\n"}, "0::/\n", 1),
        ({"cpu.max": "150000 100000\n"}, "0::/\n", 1.5),
        ({"cpu.max": "max 100000\n"}, "0::/\n", None),
        ({"cpu.max": ""}, "0::/\n", None),
        ({}, "0::/\n", None),
        ({"pod/cpu.max": "200000 100000", "pod/job/cpu.max": "max 100000"}, "0::/pod/job\n", 2),
        ({"pod/cpu.max": "max 100000", "pod/job/cpu.max": "300000 100000"}, "0::/pod/job\n", 3),
        ({"other/cpu.max": "100000 100000"}, "0::/pod\n", None),
        ({"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"}, "1:cpu,cpuacct:/\n", 0.5),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, "1:cpu,cpuacct:/\n", None),
        ({"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"}, "1:cpuset:/\n", None),
    ],
)
def test_the_tightest_quota_of_the_group_and_those_above_it_counts(tmp_path, files, own, cpus):
    assert cpu_limit(*groups(tmp_path, files, own)) == cpus


@pytest.mark.parametrize(
    ("files", "own", "limit"),
    [
        ({"memory.max": f"{GIB}\n"}, "0::/\n", GIB),
        ({"memory.max": "max\n"}, "0::/\n", None),
        ({"pod/memory.max": f"{GIB}", "pod/job/memory.max": f"{2 * GIB}"}, "0::/pod/job\n", GIB),
        ({"memory/job/memory.limit_in_bytes": f"{3 * GIB}"}, "4:memory:/job\n", 3 * GIB),
    ],
)
def test_memory_is_limited_likewise(tmp_path, files, own, limit):
    assert memory_limit(*groups(tmp_path, files, own)) == limit


def test_without_control_groups_nothing_is_limited(tmp_path):
    assert cpu_limit(tmp_path, tmp_path / "missing") is None
    assert memory_limit(tmp_path, tmp_path / "missing") is None


@pytest.fixture
def half_a_cpu() -> Iterator[Path]:
    """A real control group (version 1) of this machine, with half a CPU."""
    group = MOUNT / "cpu" / f"assay-{uuid.uuid4().hex[:8]}"
    try:
        group.mkdir()
        (group / "cpu.cfs_quota_us").write_text("50000")
    except OSError:
        pytest.skip("control groups of version 1 cannot be made here")
    yield group
    group.rmdir()


def test_a_process_in_a_real_group_sees_its_limit(half_a_cpu):
    code = (
        f"import os; open('{half_a_cpu}/cgroup.procs', 'w').write(str(os.getpid()));"
        "from src.core.cpus import available_cpus; print(available_cpus())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"


def test_auto_follows_cpus_and_memory(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(64), raising=False)
    monkeypatch.setattr(cpus, "cpu_limit", lambda: 7.5)
    monkeypatch.setattr(cpus, "memory_limit", lambda: None)
    assert available_cpus() == 8
    monkeypatch.setattr(cpus, "memory_limit", lambda: 3 * WORKER_BYTES + 1)
    assert resolve_n_jobs("auto", 1) == 3
    assert resolve_n_jobs("auto", 4) == 2
    monkeypatch.setattr(cpus, "memory_limit", lambda: WORKER_BYTES // 2)
    assert resolve_n_jobs("auto", 1) == 1


def test_numbers_stand_for_themselves(monkeypatch):
    monkeypatch.delenv(THREADS, raising=False)
    assert resolve_threads("auto") == available_cpus()
    assert resolve_threads(3) == 3
    assert resolve_n_jobs("auto", 10**6) == 1
    assert resolve_n_jobs(5, 2) == 5
    monkeypatch.setenv(THREADS, "7")
    assert resolve_threads("auto") == 7
