"""Worker processes that die, run out of memory, or meet a fault of the task."""

import os
import signal
from pathlib import Path

import pytest

from src.search.engine.worker_pool import WorkerLost, WorkerPool


def square(x):
    return x * x


def die_at_first(mark: Path):
    """Ends like a process that the kernel kills, once."""
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def die(tries: Path):
    (tries / str(len(list(tries.iterdir())))).touch()
    os.kill(os.getpid(), signal.SIGKILL)


def exhaust(_):
    raise RuntimeError("CUDA out of memory. Tried to allocate 20 GiB")


def fill_disk(_):
    raise OSError(28, "No space left on device")


def misbehave(_):
    raise ZeroDivisionError("a fault of the task")


def collect_all(pool, count):
    return dict(pool.collect() for _ in range(count))


def test_all_results_come_each_with_its_key():
    with WorkerPool(n_jobs=2, retries=0) as pool:
        for number in range(7):
            pool.submit(number, square, number)
        assert collect_all(pool, 7) == {number: number**2 for number in range(7)}


def test_a_worker_that_dies_costs_one_attempt_and_nothing_else(tmp_path):
    with WorkerPool(n_jobs=2, retries=1) as pool:
        pool.submit("killed", die_at_first, tmp_path / "mark")
        for number in range(3):
            pool.submit(number, square, number)
        assert collect_all(pool, 4) == {"killed": "done", 0: 0, 1: 1, 2: 4}


def test_a_task_that_always_dies_is_lost_after_its_retries(tmp_path):
    with WorkerPool(n_jobs=1, retries=2) as pool:
        pool.submit("killed", die, tmp_path)
        key, result = pool.collect()
    assert key == "killed" and len(list(tmp_path.iterdir())) == 3
    assert result == WorkerLost("its process ended with -9, 3 times")


@pytest.mark.parametrize(("task", "reason"), [(exhaust, "out of memory"), (fill_disk, "No space left")])
def test_what_the_machine_is_to_blame_for_is_lost_with_its_reason(task, reason):
    with WorkerPool(n_jobs=1, retries=0) as pool:
        pool.submit(0, task, None)
        _, result = pool.collect()
    assert isinstance(result, WorkerLost) and reason in result.reason


def test_a_fault_of_the_task_is_raised():
    with WorkerPool(n_jobs=1, retries=2) as pool:
        pool.submit(0, misbehave, None)
        with pytest.raises(ZeroDivisionError, match="a fault of the task"):
            pool.collect()
