"""How fast is training a network of timm, against timm's own train.py?

    git clone https://github.com/huggingface/pytorch-image-models /tmp/timm
    python -m benchmarks.finetune /tmp/timm/train.py [--model resnet18] [--size 64] [--batch 64] [--rounds 3]

The same network, batch, optimizer and images (JPEG of about that size, in a folder for each class) in both,
without augmentation and weight averaging, in turns, after an epoch to warm up. Ours decodes the images once,
in `ingest`, which does not count here; timm decodes them in every epoch, in two worker processes. Ours picks
the precision of train.precision=auto; timm computes in fp32, its default, and with --amp in bf16. Takes about
5 minutes on 2 idle cores. The goal is 1.5 times timm's default; measured, where the CPU has bf16: resnet18 at
64 pixels 1.5 (1.2 times timm in bf16), lcnet_050 at 32 pixels 3.1 (both).
"""

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.throughput import ours, use_all_cores  # first: it lets torchvision be imported

# isort: split
import numpy as np
from PIL import Image

from src.config.loading import compose
from src.config.schema.augment import Augment
from src.config.schema.model import Timm
from src.config.schema.train import Train
from src.training.task import TrainingTask

CLASSES = 10
# As `python train.py` does, and with a torchvision that can be imported
RUN = """
import runpy, sys, src
sys.argv.pop(0)
sys.path.insert(0, sys.argv[0].rpartition("/")[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""
RATE = re.compile(r"Train: 1 \[.*\(\d+\.\d+s, +([\d.]+)/s\)")  # of the second epoch, on average


def smooth_images(count: int, size: int) -> np.ndarray:
    """(count, 3, size, size): noise of an eighth of the size, enlarged, so that JPEG has its usual work."""
    bicubic = Image.Resampling.BICUBIC
    small = np.random.default_rng(0).integers(0, 256, (count, size // 8, size // 8, 3), dtype=np.uint8)
    large = [np.asarray(Image.fromarray(each).resize((size, size), bicubic)) for each in small]
    return np.stack(large).transpose(0, 3, 1, 2)


def write_folder(images: np.ndarray, folder: Path) -> None:
    """``train/CLASS/NUMBER.jpg``, and a few of them again under ``val``."""
    for split, wanted in (("train", images), ("val", images[: 2 * CLASSES])):
        for number, image in enumerate(wanted):
            path = folder / split / str(number % CLASSES) / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.transpose(1, 2, 0)).save(path, quality=90)


def task_of(images: np.ndarray, model: str, batch: int) -> TrainingTask:
    """One epoch over all images."""
    train = compose(["train.precision=auto"])["train"] | {"epochs": 1, "batch_size": batch, "ema_decay": 0.0}
    train["schedule"] |= {"warmup": 0.0}
    network = compose(["model=timm", f"model.name={model}", "model.stem=standard"])["model"]
    rows = np.arange(len(images) // batch * batch)
    return TrainingTask(
        model=Timm.model_validate(network),
        augment=Augment.model_validate({"operations": []}),
        train=Train.model_validate(train),
        images=images,
        targets=np.arange(len(images)) % CLASSES,
        train_rows=rows,
        val_rows=rows[:2],
        shift=[0.5] * 3,
        scale=[0.25] * 3,
        classes=[str(name) for name in range(CLASSES)],
        seed=0,
    )


def timm_rate(script: Path, folder: Path, arguments: argparse.Namespace, *options: str) -> float:
    """Images per second of timm's second epoch."""
    size = str(arguments.size)
    command = [sys.executable, "-c", RUN, str(script), "--data-dir", str(folder), "--train-split", "train"]
    command += ["--val-split", "val", "--model", arguments.model, "--num-classes", str(CLASSES)]
    command += ["--input-size", "3", size, size, "--batch-size", str(arguments.batch), "--opt", "adamw"]
    command += ["--lr", "1e-3", "--epochs", "2", "--warmup-epochs", "0", "--no-aug", "--device", "cpu"]
    command += ["--workers", "2", "--output", str(folder / "output"), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    rates = RATE.findall(done.stdout + done.stderr)
    if done.returncode or not rates:
        sys.exit(f"train.py failed:\n{done.stderr[-2000:]}")
    return float(rates[-1])


def main() -> None:
    """Measure both in turns, and print the ratios."""
    parser = argparse.ArgumentParser("python -m benchmarks.finetune", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("script", type=Path, help="train.py of a clone of timm")
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--size", type=int, default=64, help="pixels of a side")
    parser.add_argument("--images", type=int, default=2048)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    use_all_cores()
    images = smooth_images(arguments.images, arguments.size)
    task = task_of(images, arguments.model, arguments.batch)
    against = {"timm, fp32": (), "timm, bf16": ("--amp", "--amp-dtype", "bfloat16")}
    ratios: dict[str, list[float]] = {name: [] for name in against}
    with tempfile.TemporaryDirectory() as place:
        write_folder(images, Path(place))
        ours(task)
        for _ in range(arguments.rounds):
            rate = ours(task)
            for name, options in against.items():
                theirs = timm_rate(arguments.script, Path(place), arguments, *options)
                ratios[name].append(rate / theirs)
                print(f"ours {rate:6.0f} images/s, {name} {theirs:6.0f}: {rate / theirs:.2f}", flush=True)
    for name, found in ratios.items():
        print(f"ours / {name}: {statistics.median(found):.2f} ({min(found):.2f} to {max(found):.2f})")


if __name__ == "__main__":
    main()
