"""Measures the memory that serving a model takes: a fresh process loads it and predicts a batch.

    python -m src.leaderboard.speed.peak_memory torch|onnx MODEL IMAGES.npy THREADS

MODEL is a folder of models/ for torch, a file for onnx. Prints MiB. Takes a second for ONNX Runtime, four
for torch.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from src.compression.onnx.runtime import load_onnx, torch_model
from src.core.errors import AssayError

ROOT = Path(__file__).parents[3]  # where ``src`` is


def peak_memory(kind: str, model: Path, images: NDArray[np.uint8], threads: int) -> float:
    """The most MiB that a fresh process needs to load ``model`` and predict ``images`` (B, C, H, W).

    Args:
        kind: torch or onnx.
        model: folder or file.
        images: one batch.
        threads: of the engine.

    Raises:
        AssayError: the process fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        batch = Path(folder) / "images.npy"
        np.save(batch, images)
        command = [sys.executable, "-m", __name__, kind, str(model.resolve()), str(batch), str(threads)]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)}
        )
    if done.returncode:
        last = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise AssayError(f"measuring the memory of {model} failed: {last}")
    return float(done.stdout)


def main(kind: str, model: str, images: str, threads: str) -> None:
    """Run in the fresh process."""
    batch = np.load(images, allow_pickle=False)
    if kind == "torch":
        import torch

        torch.set_num_threads(int(threads))
        torch_model(Path(model))(batch)
    else:
        load_onnx(Path(model), int(threads))(batch)
    print(_peak_mib())


def _peak_mib() -> float:
    """The most resident memory.

    Not Linux's ``ru_maxrss``, which starts at the parent's if that was more.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        lines = status.read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # bytes on macOS


if __name__ == "__main__":
    main(*sys.argv[1:])
