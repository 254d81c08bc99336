"""What git knows about the code that ran."""

import hashlib
import subprocess
from pathlib import Path
from typing import Any

RECORDED = ("src", "conf", "dvc.yaml", "requirements.lock")
UNKNOWN = "unknown"  # git is here, and refuses to answer
_FIELDS = {"1": 8, "u": 10, "?": 1}  # of `git status --porcelain=v2`: blanks before the path


def git_state(folder: Path) -> dict[str, Any]:
    """The state of the code in git.

    Returns:
        "commit" and "branch": None where there is none, ``UNKNOWN`` where git refuses the folder.
        "dirty": files below ``RECORDED`` that differ from the commit, or ``[UNKNOWN]``.
    """
    if refusal(folder):
        return {"commit": UNKNOWN, "branch": UNKNOWN, "dirty": [UNKNOWN]}
    options = ("--porcelain=v2", "--branch", "--no-renames", "--untracked-files=all")
    lines = (git(folder, "status", *options, "--", *RECORDED) or b"").decode().splitlines()
    about = dict(line[2:].split(" ", 1) for line in lines if line.startswith("# "))
    changed = sorted(line.split(" ", _FIELDS[line[0]])[-1] for line in lines if line[0] in _FIELDS)
    commit, branch = about.get("branch.oid", "(initial)"), about.get("branch.head", "(detached)")
    if commit == "(initial)":  # nothing has been committed, or this is not a repository
        return {"commit": None, "branch": None, "dirty": []}
    return {"commit": commit, "branch": None if branch == "(detached)" else branch, "dirty": changed}


def refusal(folder: Path) -> str | None:
    """Why git refuses the repository around ``folder``, in git's own words; None if it does not.

    Git refuses a folder that belongs to another user, as a mounted one often does in a container.
    """
    if not any((place / ".git").exists() for place in (folder.resolve(), *folder.resolve().parents)):
        return None
    done = _run(folder, "rev-parse", "--git-dir")
    return done.stderr.decode().strip() if done is not None and done.returncode else None


def git(folder: Path, *arguments: str) -> bytes | None:
    """Git's answer; None if git or the repository is missing, or the command fails."""
    done = _run(folder, *arguments)
    return done.stdout if done is not None and done.returncode == 0 else None


def add(folder: Path, *paths: Path) -> str | None:
    """Stage files for the next commit; returns why git did not. Without a repository, does nothing."""
    if git(folder, "rev-parse", "--git-dir") is None:
        return None
    done = _run(folder, "add", "--", *map(str, paths))
    return done.stderr.decode().strip() if done is not None and done.returncode else None


def blob_id(content: bytes) -> str:
    """Git's name of these bytes."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _run(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[bytes] | None":
    try:
        return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, check=False)
    except FileNotFoundError:
        return None
