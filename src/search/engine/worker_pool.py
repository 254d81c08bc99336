"""Runs plain functions in worker processes; a worker that dies costs one attempt and nothing else.

Workers are fresh interpreters (``spawn``) that live as long as the pool, so each imports torch once. A task
is a function of one argument that returns its result; nothing is shared.
"""

import multiprocessing
import os
from collections.abc import Callable, Hashable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import pebble

from src.core.interruption import children_ignore_interrupts
from src.core.wording import counted


@dataclass(frozen=True)
class WorkerLost:
    """The result of a task that failed because of the machine: memory, disk, a signal."""

    reason: str


@dataclass
class _Task:
    key: Hashable
    function: Callable[[Any], Any]
    argument: Any
    attempts: int = 0


class WorkerPool:
    """Runs tasks in ``n_jobs`` processes; they end in any order."""

    def __init__(self, n_jobs: int, retries: int) -> None:
        """Start the workers.

        Args:
            n_jobs: number of processes.
            retries: further attempts for a task whose worker died or ran out of memory or disk.
        """
        self.n_jobs = n_jobs
        self.retries = retries
        self._pool = pebble.ProcessPool(max_workers=n_jobs, context=multiprocessing.get_context("spawn"))
        self._running: dict[Future[Any], _Task] = {}

    def __enter__(self) -> "WorkerPool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.stop()  # type: ignore[no-untyped-call]  # running tasks continue from their checkpoints next time
        self._pool.join()

    def submit(self, key: Hashable, function: Callable[[Any], Any], argument: Any) -> None:
        """Queue ``function(argument)``; both must be importable and picklable."""
        self._start(_Task(key, function, argument))

    def collect(self) -> tuple[Any, Any]:
        """Wait for a task to end; returns (key, result).

        The result is a ``WorkerLost`` if the worker died. Raises any other exception of the function.
        """
        while True:
            if (ended := self.poll()) is not None:
                return ended

    def poll(self, seconds: float | None = None) -> tuple[Any, Any] | None:
        """Like ``collect``, but waits for at most ``seconds``; None if no task has ended."""
        done, _ = wait(self._running, seconds, return_when=FIRST_COMPLETED)
        if not done:
            return None
        future = done.pop()
        task = self._running.pop(future)
        reason = _loss(future)
        if reason is None:
            return task.key, future.result()
        if task.attempts > self.retries:
            return task.key, WorkerLost(f"{reason}, {counted(task.attempts, 'time')}")
        self._start(task)
        return None

    def _start(self, task: _Task) -> None:
        task.attempts += 1
        with children_ignore_interrupts():  # the first task starts the processes
            future = self._pool.schedule(task.function, args=[task.argument])
        self._running[future] = task


def exit_if_orphaned() -> None:
    """End this worker process if its parent is gone; the checkpoints stay."""
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():
        os._exit(1)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the error is Python's, or torch's on a CPU or GPU, for a lack of memory."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text


def _loss(future: Future[Any]) -> str | None:
    """Why the machine, not the task, caused the failure; None if it did not."""
    error = future.exception()
    if isinstance(error, pebble.ProcessExpired):
        return f"its process ended with {error.exitcode}"
    if error is not None and is_out_of_memory(error):
        return f"out of memory ({error})"
    if isinstance(error, OSError):
        return f"{type(error).__name__}: {error}"
    return None
