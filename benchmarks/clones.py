"""Fresh clones in which a benchmark runs real commands."""

import csv
import gzip
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = Path("/usr/share/datasets/fashion-mnist")  # Debian's package dataset-fashion-mnist
FEW = "fashion_few"


def make_clone(folder: Path) -> Path:
    """A fresh clone of what is committed, below ``folder``."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder / "clone")], check=True)
    return folder / "clone"


def run(clone: Path, *command: str) -> None:
    """Run to the end, without a tracking server; a failure ends the benchmark with the output."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "DVC_"))}
    done = subprocess.run(
        command, cwd=clone, env={**environment, "PATH": path}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")


def best_accuracy(history: Path) -> float:
    """The validation accuracy of the epoch that was kept, from a history.csv."""
    with history.open(encoding="utf-8") as file:
        return max(float(row["epoch/val/accuracy"]) for row in csv.DictReader(file))


def few_images(clone: Path, test: int = 1_000) -> list[str]:
    """Put 20,000 training images of Fashion-MNIST and ``test`` others into the clone as `fashion_few`.

    The others are its test images and, if more are needed, the rest of its training images.

    Returns the overrides that use them: 15,000 for training and 5,000 for validation, give or take two
    because the share is rounded.
    """
    target = clone / "data/raw" / FEW
    target.mkdir()
    for kind, header, size in (("images-idx3", 16, 784), ("labels-idx1", 8, 1)):
        head, train = _idx(f"train-{kind}-ubyte.gz", header)
        _, others = _idx(f"t10k-{kind}-ubyte.gz", header)
        border = 20_000 * size
        for part, items in (("train", train[:border]), ("t10k", (others + train[border:])[: test * size])):
            counted = head[:4] + (len(items) // size).to_bytes(4, "big") + head[8:]
            (target / f"{part}-{kind}-ubyte.gz").write_bytes(gzip.compress(counted + items, mtime=0))
    run(clone, "dvc", "add", f"data/raw/{FEW}")
    share = 5_000 / (20_000 + test)  # of all images
    return ["experiment=fashion_mnist", f"data.name={FEW}", f"split.val={share:.4f}"]


def _idx(name: str, header: int) -> tuple[bytes, bytes]:
    """The header of a file of Fashion-MNIST, and what follows."""
    content = gzip.decompress((SOURCE / name).read_bytes())
    return content[:header], content[header:]
