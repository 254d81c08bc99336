"""What git knows of the code that ran."""

import subprocess
from pathlib import Path
from typing import Any

RECORDED = ("src", "conf", "dvc.yaml", "requirements.lock")


def git_state(folder: Path) -> dict[str, Any]:
    """{"commit": the hash or None, "dirty": files below ``RECORDED`` that differ from it}."""
    commit = git(folder, "rev-parse", "--verify", "HEAD")
    if commit is None:
        return {"commit": None, "dirty": []}
    changed = git(folder, "status", "--porcelain", "--untracked-files=all", "--", *RECORDED) or b""
    dirty = sorted(line[3:] for line in changed.decode().splitlines())
    return {"commit": commit.decode().strip(), "dirty": dirty}


def git(folder: Path, *arguments: str) -> bytes | None:
    """Git's answer, or None where there is no git, no repository or no such thing."""
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None
