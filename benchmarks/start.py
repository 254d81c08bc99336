"""How good is what ``python -m src.start`` proposes? Trains it on several splits of one folder of images.

    python -m benchmarks.start FOLDER [--goal balanced] [--minutes 10] [--splits 10] [--search 10]

In a fresh clone it runs the command and stage ``ingest``, then splits and trains once for each seed, as the
stages do, and prints validation and test metrics, their mean and standard deviation. Features of a frozen
backbone are computed in the first training and shared by the others. With --search each split also has the
best of so many random settings, by validation accuracy: what a search so many times as long would gain. Test
images choose nothing.
"""

import argparse
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.clones import make_clone, run
from src.config.loading import load_conf
from src.config.schema import Config
from src.data.dataset.arrays import open_array
from src.data.dataset.index import read_index
from src.data.splitting.report import SplitSettings, split_and_report
from src.evaluation.metrics.by_name import metric_value
from src.evaluation.metrics.classification import softmax
from src.models.head import head_names
from src.pipeline.paths import INGEST
from src.training.features import FEATURES
from src.training.fit import fit
from src.training.subset_task import SharedDataset, make_task

NAME = "benchmark"
METRICS = ("accuracy", "f1_macro")


def main() -> None:
    """Propose, ingest, train on each split, print."""
    parser = make_parser("start", __doc__, splits=10)
    parser.add_argument("--search", type=int, default=0, metavar="N", help="random settings to compare with")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        prepare(Path(place), arguments)
        print("seed  val acc  val f1  test acc  test f1  best epoch  seconds")
        _summarize([_row(seed, arguments.set) for seed in range(arguments.splits)])
        if arguments.search:
            print(f"the best of {arguments.search} random settings")
            _summarize([_searched(seed, arguments) for seed in range(arguments.splits)])


def _summarize(rows: list[list[float]]) -> None:
    table = np.array(rows)
    for word, line in (("mean", table.mean(axis=0)), ("std", table.std(axis=0, ddof=1))):
        print(f"{word:<4} " + "  ".join(f"{value:7.3f}" for value in line))


def make_parser(name: str, about: str | None, splits: int) -> argparse.ArgumentParser:
    """Of a command that takes a folder of images, and asks what is proposed for it."""
    parser = argparse.ArgumentParser(f"python -m benchmarks.{name}", description=about)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("folder", type=Path)
    parser.add_argument("--goal", default="balanced")
    parser.add_argument("--minutes", default="10")
    parser.add_argument("--splits", type=int, default=splits)
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="KEY=VALUE", help="instead of what is proposed"
    )
    return parser


def prepare(place: Path, arguments: argparse.Namespace) -> None:
    """Propose settings and ingest the images in a fresh clone below ``place``, which is then the folder."""
    clone, options = make_clone(place), ["--goal", arguments.goal, "--minutes", arguments.minutes]
    begin = time.perf_counter()
    command = [str(arguments.folder.resolve()), "--name", NAME, *options]
    run(clone, "python", "-m", "src.start", *command)
    print(f"start {time.perf_counter() - begin:.0f} s\n{_without_comments(clone)}", flush=True)
    if arguments.set:
        run(clone, "python", "-m", "src.compose", *arguments.set)
    run(clone, "python", "-m", "src.ingest")
    os.chdir(clone)


def _searched(seed: int, arguments: argparse.Namespace) -> list[float]:
    """The row of the random settings that are best on the validation images of one split."""
    random = np.random.default_rng(seed)
    proposed = load_conf(arguments.set).config.train.optimizer.lr
    draws = [
        [
            f"train.optimizer.lr={proposed * 10 ** random.uniform(-1, 1):.6f}",
            f"train.optimizer.weight_decay={10 ** random.uniform(-3, -0.5):.6f}",
        ]
        for _ in range(arguments.search)
    ]
    return max((_row(seed, [*arguments.set, *draw]) for draw in draws), key=lambda row: row[0])


def _row(seed: int, overrides: list[str]) -> list[float]:
    """val accuracy, val macro F1, test accuracy, test macro F1 of one split."""
    line, epoch, seconds = measure(seed, overrides, FEATURES.resolve())
    shown = "  ".join(f"{value:7.3f}" for value in line)
    print(f"{seed:<4} {shown}  {epoch:9}  {seconds:7.0f}", flush=True)
    return line


def measure(seed: int, overrides: list[str], features: Path | None) -> tuple[list[float], int, float]:
    """Train on one split, with cached features if there is a folder for them.

    Returns val accuracy, val macro F1, test accuracy and test macro F1, the best epoch, and the seconds that
    the training took.
    """
    config = load_conf([*overrides, f"seed={seed}"]).config
    rows, names = read_index(INGEST), _split(config)
    data = SharedDataset(
        (INGEST / "images.npy").resolve(),
        rows.targets,
        rows.classes,
        config.normalize.method,
        features,
    )
    train, val, test = (np.flatnonzero(names == name) for name in ("train", "val", "test"))
    task = make_task(data, config.model, config.augment, config.train, train, val, seed)
    task = replace(task, metrics=[f"val/{name}" for name in METRICS])
    with tempfile.TemporaryDirectory() as state:
        begin = time.perf_counter()
        trained = fit(task, Path(state))
        seconds = time.perf_counter() - begin
    probabilities = softmax(_logits(trained.network, config, test, task.shift, task.scale))
    found = [
        metric_value(f"test/{name}", probabilities, rows.targets[test], rows.classes) for name in METRICS
    ]
    line = [*(trained.best[f"val/{name}"] for name in METRICS), *found]
    return line, trained.best_epoch, seconds


def _split(config: Config) -> np.ndarray:
    """The split of each image, (N,), as stage ``split`` makes it."""
    wanted, data = config.split, config.data
    settings = SplitSettings(
        wanted.method,
        wanted.val,
        wanted.test,
        wanted.folds,
        wanted.rare,
        data.near_duplicates,
        data.near_threshold,
        config.seed,
    )
    result = split_and_report(read_index(INGEST), open_array(INGEST / "images.npy"), settings, show=False)
    return np.array(result.columns["split"])


@torch.inference_mode()
def _logits(
    network: torch.nn.Module, config: Config, rows: np.ndarray, shift: list[float], scale: list[float]
) -> np.ndarray:
    """Of the rows, (n, K): by the head alone where the features are there."""
    features = sorted(FEATURES.glob("*.npy"))
    if config.train.finetune.layers == "head" and features:
        head = network.get_submodule(head_names(network)[0])
        taken = np.load(features[0], mmap_mode="r")[rows]
        return head(torch.from_numpy(np.array(taken)).flatten(1)).numpy()
    images, found = open_array(INGEST / "images.npy"), []
    for part in np.array_split(rows, max(1, len(rows) // 64)):
        x = torch.from_numpy(np.array(images[part])).float() / 255
        x = (x - torch.tensor(shift)[:, None, None]) / torch.tensor(scale)[:, None, None]
        found.append(network(x.float()).numpy())
    return np.concatenate(found)


def _without_comments(clone: Path) -> str:
    text = (clone / f"conf/experiment/{NAME}.yaml").read_text(encoding="utf-8")
    return "\n".join(line for line in text.splitlines() if not line.startswith("#"))


if __name__ == "__main__":
    main()
