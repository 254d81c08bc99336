"""Ctrl-C before a command has begun its work, and in processes that it starts. Imports next to nothing."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def end_at_once(number: int, _: object) -> None:
    """Handle a signal while modules are still imported: nothing is open yet, so nothing has to be closed."""
    hint = ". dvc checkout brings the last good result back, if there is one" if in_dvc_stage() else ""
    os.write(2, f"\nInterrupted before the work began: {how_to_continue()}{hint}\n".encode())
    os._exit(128 + number)


def raise_on_interrupt() -> None:
    """Let Ctrl-C raise KeyboardInterrupt from here on, where `end_at_once` has handled it until now."""
    if signal.getsignal(signal.SIGINT) is end_at_once:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def how_to_continue() -> str:
    """What to run after an interruption."""
    return "dvc repro continues" if in_dvc_stage() else "the same command continues"


def in_dvc_stage() -> bool:
    """Whether DVC has started this process, or the one that started it."""
    return "DVC_STAGE" in os.environ


@contextmanager
def children_ignore_interrupts() -> Iterator[None]:
    """Processes and threads that start in this block never see Ctrl-C, not even while they import.

    This process handles it for them, in its main thread. One that arrives meanwhile is handled after the
    block: a process must not be left half started.
    """
    if sys.platform == "win32":  # where signals cannot be blocked
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # which unblocks the signal when it starts
    # Other threads of this process may receive it: only this thread, and what it starts, blocks it.
    received: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, _: received.append(number))
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        signal.signal(signal.SIGINT, handler)
        if received:
            signal.raise_signal(signal.SIGINT)
