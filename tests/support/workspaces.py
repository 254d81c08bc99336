"""Clones of the repository as it is now, and real runs of commands in them."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from src.config.loading import PARAMS, compose_text
from src.core.files import write_text
from src.records.files import FOLDER

ROOT = Path(__file__).parents[2]


def _listen_to_interrupts() -> None:
    """Where pytest runs in the background, its children would ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Workspace:
    """A clone of the working tree with a git history of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.summary = ""  # what the pipeline printed
        self.environment = {
            **{
                key: value
                for key, value in os.environ.items()
                if not key.startswith(("MLFLOW_", "DVC_", "OMP_"))
            },
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "GIT_AUTHOR_NAME": "Test",
            "GIT_AUTHOR_EMAIL": "test@example.org",
            "GIT_COMMITTER_NAME": "Test",
            "GIT_COMMITTER_EMAIL": "test@example.org",
        }

    def __truediv__(self, path: str) -> Path:
        return self.folder / path

    def compose(self, *overrides: str) -> None:
        """Write params.yaml as ``python -m src.compose`` does, but in this process."""
        with contextlib.chdir(self.folder):
            write_text(PARAMS, compose_text(overrides))

    def clone(self, folder: Path) -> "Workspace":
        """A fresh ``git clone`` of what is committed here: no cache, no results."""
        self.run("git", "clone", "--quiet", ".", str(folder))
        return Workspace(folder)

    def copy(self, folder: Path) -> "Workspace":
        """All of it as it is, cache and results too."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Workspace(folder)

    def run(self, *command: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run to the end; the output of a failure is shown by pytest."""
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment | environment, capture_output=True, text=True
        )
        print(f"$ {' '.join(command)}\n{done.stdout}\n{done.stderr}")
        assert done.returncode == 0 or not check, f"{' '.join(command)} ended with {done.returncode}"
        return done

    def start(self, *command: str, **environment: str) -> subprocess.Popen[str]:
        """Start in a process group of its own, so that it can be killed with all its children."""
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=_listen_to_interrupts,  # noqa: PLW1509  # the child does nothing else before it starts
        )


def clone_working_tree(folder: Path) -> Workspace:
    """Copy what git tracks or would track into ``folder`` and commit it there, without the records: nobody
    has worked in this clone yet."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file() and not name.startswith(f"{FOLDER}/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    workspace = Workspace(folder)
    workspace.run("git", "init", "--quiet", "--initial-branch=main")
    workspace.run("git", "add", "--all")
    workspace.run("git", "commit", "--quiet", "--message", "As it is")
    return workspace
