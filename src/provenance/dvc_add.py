"""``dvc add``: data and weights become inputs with a hash."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from src.core.errors import AssayError
from src.provenance.git import git


def dvc_add(path: Path) -> None:
    """Let DVC track a file or folder.

    Raises:
        AssayError: DVC refuses; the text says why.
    """
    command = [sys.executable, "-m", "dvc", "add", str(path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        reason = result.stderr.strip() or result.stdout.strip()
        raise AssayError(f"dvc add {path} failed:\n{reason}\nFix that, then: dvc add {path}")


def unstage(paths: Sequence[Path]) -> None:
    """Take out of git's index what ``dvc add`` has put there (autostage); the files stay as they are."""
    there = [str(path) for path in paths if path.exists()]
    gone = [str(path) for path in paths if not path.exists()]
    if there:
        git(Path(), "reset", "--quiet", "--", *there)
    if gone:
        git(Path(), "rm", "--cached", "--quiet", "--ignore-unmatch", "--", *gone)
