"""How fast training is, as ratios from one interleaved run.

    python -m benchmarks.throughput [--batches 48] [--rounds 7]

The same network (the default CNN), batch (256), images (54,000 of 28×28, random bytes: their content costs
nothing) and augmentation (crop, flip, erase) in three loops: ours (``fit``: one epoch with averaged weights,
validation on a few images and a checkpoint), a bare hand-written bf16 channels-last loop without any of
these, and the usual recipe (one image at a time through torchvision's transforms in a DataLoader with a
worker for each core, fp32). An epoch of the real 54,000 images has 210 batches; what happens once per epoch
(about 30 ms) counts the more the fewer there are. Takes about 4 minutes on 2 idle cores. Expect ours at 0.95
or more of the bare loop and at 2.2 or more times the usual recipe, where the CPU has bf16.
"""

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import src  # lets torchvision be imported  # noqa: F401

# isort: split
import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from src.config.loading import compose
from src.config.schema.augment import Augment
from src.config.schema.model import Cnn
from src.config.schema.train import Train
from src.core.cpus import resolve_threads
from src.data.loading.augmentation import Augmentation
from src.models.build import build_model
from src.models.numerics import resolve_precision
from src.training.fit import fit
from src.training.optimizers import create_optimizer
from src.training.task import TrainingTask

BATCH = 256
OPERATIONS = [
    {"name": "crop", "padding": 2},
    {"name": "flip", "axis": "horizontal", "p": 0.5},
    {"name": "erase", "p": 0.5, "area": 0.1},
]
MEAN, STD = 0.286, 0.353
FEW = 12  # batches of the usual recipe, which is slow
Loop = Callable[[TrainingTask], float]  # -> images per second


def task_of(images: np.ndarray, targets: np.ndarray, batches: int) -> TrainingTask:
    """One epoch of ``batches`` batches."""
    train = compose(["train.precision=auto"])["train"] | {"epochs": 1, "batch_size": BATCH}
    train["schedule"] |= {"warmup": 0.0}
    rows = np.random.default_rng(0).choice(len(images) - BATCH, batches * BATCH, replace=False)
    return TrainingTask(
        model=Cnn.model_validate(compose(["model=cnn"])["model"]),
        augment=Augment.model_validate({"operations": OPERATIONS}),
        train=Train.model_validate(train),
        images=images,
        targets=targets,
        train_rows=np.sort(rows),
        val_rows=np.arange(len(images) - 8, len(images)),
        shift=[MEAN],
        scale=[STD],
        classes=[str(name) for name in range(10)],
        seed=0,
    )


def ours(task: TrainingTask) -> float:
    """Images per second of ``fit``, from the first batch's start to the epoch's end.

    What happens once (building the network, Lightning's setup) is left out: the images note when the first
    batch is read.
    """
    started: list[float] = []

    class Watched(np.ndarray):
        def __getitem__(self, rows):
            started.append(time.perf_counter())
            return np.asarray(self)[rows]

    watched = TrainingTask(**vars(task) | {"images": task.images.view(Watched)})
    ended: list[float] = []
    with tempfile.TemporaryDirectory() as state:
        fit(watched, Path(state), device="cpu", on_epoch=lambda _: ended.append(time.perf_counter()))
    return len(task.train_rows) / (ended[0] - started[0])


def bare(task: TrainingTask) -> float:
    """Images per second of a bare training loop."""
    network = build_model(task.model, 1, 10, (28, 28)).to(memory_format=torch.channels_last)
    bf16 = resolve_precision("auto", torch.device("cpu"), network) == "bf16"
    optimizer = create_optimizer(network, task.train.optimizer)
    augmentation = Augmentation(task.augment.operations)
    order = np.random.default_rng(0).permutation(task.train_rows)
    start = time.perf_counter()
    for batch in np.split(order, len(order) // BATCH):
        x = augmentation(torch.from_numpy(task.images[batch]).float() / 255)
        x = ((x - MEAN) / STD).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            logits = network(x)
        smoothing = task.train.label_smoothing
        targets = torch.from_numpy(task.targets[batch])
        loss = functional.cross_entropy(logits.float(), targets, label_smoothing=smoothing)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return len(order) / (time.perf_counter() - start)


class OneByOne(Dataset):
    """What most tutorials do."""

    def __init__(self, task: TrainingTask) -> None:
        self.task = task
        self.transform = v2.Compose(
            [
                v2.ToPILImage(),
                v2.RandomCrop(28, padding=2),
                v2.RandomHorizontalFlip(),
                v2.ToImage(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize([MEAN], [STD]),
                v2.RandomErasing(p=0.5, scale=(0.02, 0.1), value="random"),
            ]
        )

    def __len__(self) -> int:
        return len(self.task.train_rows)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        row = self.task.train_rows[index]
        image = torch.from_numpy(self.task.images[row].copy())
        return self.transform(image), int(self.task.targets[row])


def usual(task: TrainingTask) -> float:
    """Images per second of the usual recipe, after the first batch (workers have started)."""
    network = build_model(task.model, 1, 10, (28, 28))
    optimizer = torch.optim.AdamW(network.parameters(), lr=task.train.optimizer.lr)
    criterion = nn.CrossEntropyLoss(label_smoothing=task.train.label_smoothing)
    workers = resolve_threads("auto")
    loader = DataLoader(OneByOne(task), batch_size=BATCH, shuffle=True, num_workers=workers, drop_last=True)
    batches = iter(loader)
    next(batches)
    start, count = time.perf_counter(), 0
    for images, targets in batches:
        loss = criterion(network(images), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        count += len(images)
    return count / (time.perf_counter() - start)


def use_all_cores() -> None:
    """As many threads as a training has."""
    warnings.filterwarnings("ignore", message="This process .* is multi-threaded")  # fork of idle threads
    torch.set_num_threads(resolve_threads("auto"))


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks.throughput", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--batches", type=int, default=48, help="of an epoch")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    use_all_cores()
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (54_000, 1, 28, 28), dtype=np.uint8)
    targets = generator.integers(0, 10, 54_000)
    task = task_of(images, targets, arguments.batches)
    few = task_of(images, targets, FEW)
    loops: list[tuple[str, Loop, TrainingTask]] = [
        ("ours", ours, task),
        ("bare", bare, task),
        ("usual", usual, few),
    ]
    rates: dict[str, list[float]] = {name: [] for name, _, _ in loops}
    for _ in range(arguments.rounds):
        loops.reverse()  # interleaved and in turns: other load on the machine meets all of them
        for name, loop, its_task in loops:
            rates[name].append(loop(its_task))
    report(rates)


def report(rates: dict[str, list[float]]) -> None:
    """Print the median rate of each loop, and the ratio of ours to each other in the same round."""
    for name, values in rates.items():
        print(f"{name:<6} {statistics.median(values):7.0f} images/s ({min(values):.0f} to {max(values):.0f})")
    for name, goal in (("bare", 0.95), ("usual", 2.2)):
        ratios = [a / b for a, b in zip(rates["ours"], rates[name], strict=True)]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        print(f"ours / {name:<6} {statistics.median(ratios):.3f} ({spread}; goal: {goal} or more)")


if __name__ == "__main__":
    main()
