"""The identity of a process, which differs from that of a later one with the same number."""

import os
import socket
from typing import Any

import psutil


def process_identity() -> dict[str, Any]:
    """This process: its number, host and start time (seconds since 1970)."""
    return {"pid": os.getpid(), "host": socket.gethostname(), "started": _started(os.getpid())}


def is_alive(process: dict[str, Any]) -> bool:
    """Whether the process still runs; assumed of one on another host, which cannot be seen from here."""
    if process["host"] != socket.gethostname():
        return True
    started: float = process["started"]
    return _started(process["pid"]) == started


def _started(pid: int) -> float | None:
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None
