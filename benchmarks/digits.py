"""Times the default pipeline on the digits: fresh clones, environment ready, cold cache.

    python -m benchmarks.digits [--runs 3]

Prints the seconds of each whole `dvc repro` and of a second one that has nothing to do, with their medians.
Takes about seven minutes. Expected on 2 cores: 240 s or less, and 1.5 s or less.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Clone, time, print."""
    parser = argparse.ArgumentParser("python -m benchmarks.digits", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--runs", type=int, default=3)
    whole, nothing = zip(*(_times(run) for run in range(parser.parse_args().runs)), strict=True)
    for name, seconds in (("whole dvc repro", whole), ("nothing to do", nothing)):
        shown = ", ".join(f"{each:.1f}" for each in sorted(seconds))
        print(f"{name:<16} median {statistics.median(seconds):.1f} s of {shown}")


def _times(run: int) -> tuple[float, float]:
    """Seconds of the first and of the second ``dvc repro`` in a fresh clone."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / f"clone-{run}"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        return _seconds(clone), _seconds(clone)


def _seconds(clone: Path) -> float:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    begin = time.perf_counter()
    subprocess.run(
        ["dvc", "repro"], cwd=clone, check=True, capture_output=True, env=os.environ | {"PATH": path}
    )
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
