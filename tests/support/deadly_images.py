"""Images whose reading may be the end of the process that reads them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.support.workspaces import ROOT


class Deadly(np.ndarray):
    """Images of which the Nth batch read is the process's last."""

    left = 0

    def __getitem__(self, rows):
        Deadly.left -= 1
        if Deadly.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return np.asarray(self)[rows]


def run_victim(script: str, folder: Path, state: str, left: int) -> int:
    """The exit code of Python code that trains on deadly images.

    Its arguments are a folder for checkpoints, a file for the weights (named alike, in ``folder``) and the
    batch read that is the last; 0: none.
    """
    outcome = folder / f"{state}.safetensors"
    command = [sys.executable, "-c", script, str(folder / state), str(outcome), str(left)]
    return subprocess.run(command, cwd=ROOT, env={"PYTHONPATH": "."}, timeout=300).returncode
