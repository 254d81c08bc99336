"""A disk that is full at one system call of a command: injected by strace, which must be installed."""

import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.support.workspaces import Workspace

CALLS = (
    *("openat", "write", "pwrite64", "writev", "ftruncate", "mkdir", "mkdirat", "rename", "renameat"),
    *("renameat2", "link", "linkat", "copy_file_range", "sendfile", "fsync", "fdatasync"),
)
LINE = re.compile(r"^(?P<thread>\d+) +(?P<call>\w+)\((?P<arguments>.*)")
CREATES = re.compile(r"O_CREAT|O_TRUNC")
CHANGING = re.compile(r"[0-9a-f]{8,}|\d+")  # hashes, process ids, numbers of attempts


@dataclass(frozen=True)
class Site:
    """Where a command writes: the n-th time that one of its threads makes a system call."""

    call: str
    path: str  # below the repository, with what changes between runs replaced by #
    number: int
    line: str = field(repr=False, compare=False)  # of the trace


def sites(workspace: Workspace, *command: str) -> list[Site]:
    """The first of all calls with which a command writes to one file of the repository."""
    trace = workspace.folder.parent / "trace.txt"
    workspace.run("strace", "-f", "-y", "-e", f"trace={','.join(CALLS)}", "-o", str(trace), *command)
    found: dict[tuple[str, str], Site] = {}
    for site in _writes(trace.read_text(errors="replace"), workspace.folder):
        found.setdefault((site.call, site.path), site)
    return list(found.values())


def run_on_full_disk(
    workspace: Workspace, site: Site, *command: str
) -> tuple[subprocess.CompletedProcess[str], Site | None]:
    """Run a command whose call at ``site`` finds the disk full.

    Returns:
        The process, and None if the call was met. Numbers change from run to run with threads and caches, so
        another call may have been met instead: then, where to try next. A command that ended before it made
        the call has met an earlier one.
    """
    trace = workspace.folder.parent / "injected.txt"
    inject = f"inject={site.call}:error=ENOSPC:when={site.number}"
    done = workspace.run(
        *("strace", "-f", "-y", "-e", f"trace={site.call}", "-e", inject, "-o", str(trace)),
        *command,
        check=False,
    )
    here = [
        each
        for each in _writes(trace.read_text(errors="replace"), workspace.folder)
        if each.path == site.path
    ]
    met = any("(INJECTED)" in each.line for each in here)
    return done, None if met else next(iter(here), replace(site, number=site.number + 1))


def _writes(trace: str, root: Path) -> Iterator[Site]:
    seen: Counter[tuple[str, str]] = Counter()
    for match in filter(None, map(LINE.match, trace.splitlines())):
        thread, call, arguments = match["thread"], match["call"], match["arguments"]
        seen[thread, call] += 1
        path = _path(arguments, root)
        if path is None or "/.git/" in path or (call == "openat" and not CREATES.search(arguments)):
            continue
        yield Site(call, path, seen[thread, call], match[0])


def _path(arguments: str, root: Path) -> str | None:
    """The last path below ``root`` among the arguments: where a call writes to, or renames to."""
    paths = re.findall(rf"[<\"]({re.escape(str(root))}/[^>\"]*)|\"((?!/)[^\"]+)\"", arguments)
    named = [absolute or f"{root}/{relative}" for absolute, relative in paths if absolute or "/" in relative]
    return CHANGING.sub("#", named[-1].removeprefix(str(root))) if named else None
