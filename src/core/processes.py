"""Who is running: a process that can be told from a later one with the same number."""

import os
import socket
from typing import Any

import psutil


def process_identity() -> dict[str, Any]:
    """This process: its number, host and moment of start (seconds since the epoch)."""
    return {"pid": os.getpid(), "host": socket.gethostname(), "started": _started(os.getpid())}


def is_alive(process: dict[str, Any]) -> bool:
    """Whether the process still runs. One on another host is taken to: it cannot be seen from here."""
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
