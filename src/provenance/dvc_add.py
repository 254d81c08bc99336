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
    """Take files that no longer exist out of git's index, where ``dvc add`` has put them (autostage)."""
    if paths:
        git(Path(), "rm", "--cached", "--quiet", "--ignore-unmatch", "--", *map(str, paths))
