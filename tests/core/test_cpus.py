"""CPUs as limited by a container, and what `auto` makes of them."""

import os

import pytest

from src.core.cpus import THREADS, available_cpus, resolve_n_jobs, resolve_threads


@pytest.mark.parametrize(
    ("content", "cpus"),
    [
        ("100000 100000", 1),
        ("50000 100000", 1),
        ("100001 100000", 2),
        ("max 100000", 64),
        ("6400000 50000", 64),
        ("", 64),
    ],
)
def test_a_containers_quota_limits_the_cpus(tmp_path, monkeypatch, content, cpus):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(64), raising=False)
    (tmp_path / "cpu.max").write_text(content)
    assert available_cpus(tmp_path / "cpu.max") == cpus
    assert available_cpus(tmp_path / "missing") == 64


def test_auto_follows_the_cpus_and_numbers_stand_for_themselves(monkeypatch):
    monkeypatch.delenv(THREADS, raising=False)
    assert resolve_threads("auto") == available_cpus()
    assert resolve_threads(3) == 3
    assert resolve_n_jobs("auto", available_cpus()) == 1
    assert resolve_n_jobs("auto", 10**6) == 1
    assert resolve_n_jobs(5, 2) == 5
    monkeypatch.setenv(THREADS, "7")
    assert resolve_threads("auto") == 7
