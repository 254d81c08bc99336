"""Plain functions in worker processes; a worker that dies costs one attempt and nothing else.

Workers are fresh interpreters (``spawn``) that live as long as the pool, so that torch is imported once
in each. What goes in and comes out is a function of (argument); nothing is shared.
"""

import multiprocessing
import os
from collections.abc import Callable, Hashable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import pebble


@dataclass(frozen=True)
class WorkerLost:
    """No result, for a reason that lies in the machine: memory, disk, a signal."""

    reason: str


@dataclass
class _Task:
    key: Hashable
    function: Callable[[Any], Any]
    argument: Any
    attempts: int = 0


class WorkerPool:
    """Runs tasks in ``n_jobs`` processes; the order in which they end is anybody's guess."""

    def __init__(self, n_jobs: int, retries: int) -> None:
        """``retries``: further attempts for a task whose worker died or ran out of memory or disk."""
        self.n_jobs = n_jobs
        self.retries = retries
        self._pool = pebble.ProcessPool(max_workers=n_jobs, context=multiprocessing.get_context("spawn"))
        self._running: dict[Future[Any], _Task] = {}

    def __enter__(self) -> "WorkerPool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.stop()  # type: ignore[no-untyped-call]  # whatever still runs goes on from its checkpoint next time
        self._pool.join()

    def submit(self, key: Hashable, function: Callable[[Any], Any], argument: Any) -> None:
        """Queue ``function(argument)``; both must be importable and picklable."""
        self._start(_Task(key, function, argument))

    def collect(self) -> tuple[Any, Any]:
        """(key, result) of a task that has ended, waiting for one if necessary.

        The result is a WorkerLost if the worker died.

        Raises whatever else the function raised.
        """
        while True:
            if (ended := self.poll()) is not None:
                return ended

    def poll(self, seconds: float | None = None) -> tuple[Any, Any] | None:
        """As ``collect``, but waits so long at most; None if no task has ended for good."""
        done, _ = wait(self._running, seconds, return_when=FIRST_COMPLETED)
        if not done:
            return None
        future = done.pop()
        task = self._running.pop(future)
        reason = _loss(future)
        if reason is None:
            return task.key, future.result()
        if task.attempts > self.retries:
            return task.key, WorkerLost(f"{reason}, {task.attempts} times")
        self._start(task)
        return None

    def _start(self, task: _Task) -> None:
        task.attempts += 1
        self._running[self._pool.schedule(task.function, args=[task.argument])] = task


def exit_if_orphaned() -> None:
    """End a worker process whose parent is gone: nobody waits for it, and what it has finished is kept."""
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():
        os._exit(1)


def is_out_of_memory(error: BaseException) -> bool:
    """Python's own error, or torch's on a GPU or a CPU."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text


def _loss(future: Future[Any]) -> str | None:
    """Why the machine, and not the task, is to blame; None if it is not."""
    error = future.exception()
    if isinstance(error, pebble.ProcessExpired):
        return f"its process ended with {error.exitcode}"
    if error is not None and is_out_of_memory(error):
        return f"out of memory ({error})"
    if isinstance(error, OSError):
        return f"{type(error).__name__}: {error}"
    return None
