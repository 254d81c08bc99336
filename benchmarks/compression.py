"""Measures how much a student gains from its teacher, on 15,000 images of Fashion-MNIST.

    python -m benchmarks.compression [--seeds 5]

There is one teacher, the default network, trained for as many batches as on all images. For each seed the
variant `distilled` is made twice: as it is, and with `alpha: 0`, which is the same student with the same
initial weights, batches, epochs and learning rate, but only the true labels. Prints the accuracy of both on
50,000 test images, which neither trained nor chose an epoch, and the mean difference. Takes 27 minutes on 2
cores. Goal: +0.3 points or more.

Measured: +0.21 ± 0.08 (+0.24, +0.32, +0.10, +0.17, +0.21) with a teacher of accuracy 0.9344. With a teacher
of 0.9226, trained for only 18 epochs: -0.01 ± 0.25 on the 10,000 test images, +0.08 on the 40,000 others. A
temperature of 4 gives +0.26 ± 0.12 (+0.24, +0.41, +0.36, +0.10, +0.21), but on all of Fashion-MNIST the
student is 0.36 points worse on validation than with 2 (one seed each). The student needs epochs, not
capacity: with 30 it reaches 0.9211 and 0.9189 alone (seeds 0 and 1), and 0.9198 and 0.9207 with the teacher.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path

import pandas as pd
import yaml

from benchmarks.clones import ROOT, best_accuracy, few_images, make_clone, run

VARIANT = "distilled"
TEACHER = ["train.epochs=66"]  # as many batches as of all images


def main() -> None:
    """Train the teacher, then both students of each seed."""
    parser = argparse.ArgumentParser("python -m benchmarks.compression", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--seeds", type=int, default=5)
    seeds = parser.parse_args().seeds
    with tempfile.TemporaryDirectory() as folder:
        clone = make_clone(Path(folder))
        settings = [*few_images(clone, test=50_000), *TEACHER]
        run(clone, "python", "-m", "src.compose", *settings)
        run(clone, "dvc", "repro", "train")
        print(f"teacher {best_accuracy(clone / 'models/base/history.csv'):.4f} (validation)", flush=True)
        gains = [gain(clone, settings, seed) for seed in range(seeds)]
    spread = f" ± {statistics.stdev(gains):.2f}" if len(gains) > 1 else ""
    print(f"mean gain {statistics.mean(gains):+.2f}{spread} points over {len(gains)} seeds")


def gain(clone: Path, settings: list[str], seed: int) -> float:
    """The gain in test accuracy from the teacher, in points."""
    alone, taught = (accuracy(clone, [*settings, *more, f"seed={seed}"]) for more in (without_teacher(), []))
    print(f"seed {seed}: alone {alone:.4f}, distilled {taught:.4f}", flush=True)
    return 100 * (taught - alone)


def accuracy(clone: Path, settings: list[str]) -> float:
    """Test accuracy of the student."""
    run(clone, "python", "-m", "src.compress", VARIANT, *settings)
    predictions = pd.read_parquet(newest(clone / f"outputs/compress@{VARIANT}") / "predictions.parquet")
    test = predictions[predictions["split"] == "test"]
    return float((test["predicted"] == test["target"]).mean())


def without_teacher() -> list[str]:
    """The override that trains the student on the true labels only."""
    variants = yaml.safe_load((ROOT / "conf/compress/smaller.yaml").read_text(encoding="utf-8"))["variants"]
    steps = variants[VARIANT]["steps"]
    steps[0]["alpha"] = 0.0
    plain = json.dumps(steps).replace('"', "")  # Hydra takes no quoted keys
    return [f"compress.variants.{VARIANT}.steps={plain}"]


def newest(folder: Path) -> Path:
    """The latest ad-hoc run."""
    return max(folder.iterdir())


if __name__ == "__main__":
    main()
