"""The result of ``debug=profile``: a table, a picture, and what would make the training faster."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch

from src.core.cpus import available_cpus
from src.core.csv_files import write_csv
from src.core.wording import counted
from src.debugging.phases import VALIDATION, Phase
from src.plotting.style import BLUE, SOFT, new_figure, save, styled, subtitle
from src.training.fit import Numerics
from src.training.task import TrainingTask

LARGE = 0.2  # share of an epoch from which a phase is worth a change
SLOW = ("forward", "backward")


def write_profile(folder: Path, phases: Sequence[Phase], batches: int) -> None:
    """Write profile.csv and profile.png."""
    rows = [(each.name, _ms(each.step), f"{each.epoch:.4f}", f"{each.share:.4f}") for each in phases]
    write_csv(folder / "profile.csv", ["phase", "ms_per_step", "seconds_per_epoch", "share"], rows)
    _draw(folder / "profile.png", phases, batches)


def table(phases: Sequence[Phase], batches: int) -> Iterator[str]:
    """Lines for a terminal."""
    yield f"an epoch has {counted(batches, 'step')}"
    yield f"{'phase':<14} {'ms a step':>10} {'s an epoch':>11} {'share':>6}"
    for each in phases:
        yield f"{each.name:<14} {_ms(each.step) or '–':>10} {each.epoch:>11.3f} {each.share:>6.1%}"


def advice(phases: Sequence[Phase], task: TrainingTask, numerics: Numerics) -> list[str]:
    """What to change, largest gain first; never empty."""
    shares = {each.name: each.share for each in phases}
    large = sorted((name for name, share in shares.items() if share > LARGE), key=lambda name: -shares[name])
    found = [text for name in large if (text := _advice_for(name, task))]
    if sum(shares[name] for name in SLOW) > 0.5:
        found.insert(0, _faster_network(task, numerics))
    return found or ["nothing stands out: no phase but the network's takes a fifth of the time"]


def _advice_for(phase: str, task: TrainingTask) -> str | None:
    operations = ", ".join(operation.name for operation in task.augment.operations)
    texts: Mapping[str, str] = {
        "loading": "loading: data/ingest/images.npy has to be read from the disk again and again. Free "
        f"memory for it ({task.images.nbytes / 1e6:,.0f} MB), or use a faster disk",
        "augmentation": f"augmentation: try fewer operations ({operations}), or augment=none",
        "optimizer": "optimizer: larger batches make fewer steps (python -m src.find_batch_size); "
        "sgd, adam and adamw update all weights in one pass",
        "averaging": "averaging: train.ema_decay=0 leaves it out",
        VALIDATION: "validation: it runs over all validation images in fp32 after every epoch. A smaller "
        "split.val, or fewer and therefore longer epochs",
        "checkpoint": "checkpoint: the state is saved after every epoch. It counts less in longer epochs, "
        "as more images make them",
        "the rest": "the rest: Python between the steps. Larger batches make fewer steps (python -m "
        "src.find_batch_size)",
    }
    return texts.get(phase)


def _faster_network(task: TrainingTask, numerics: Numerics) -> str:
    train, cpus = task.train, available_cpus()
    if train.finetune.layers == "head":
        return "network: without augmentation, what the frozen layers give is computed once: augment=none"
    if numerics["precision"] == "portable":
        return (
            f"network: train.precision=portable computes in fp32 with one thread of {cpus}. auto takes all "
            "of them, and bf16 where it is faster; equal bytes are then for equal machines only"
        )
    if numerics["precision"] == "fp32" and train.precision != "auto":
        return "network: train.precision=auto takes bf16 where it is faster"
    if numerics["device"] == "cpu" and int(numerics["threads"]) < cpus:
        return f"network: train.threads={numerics['threads']}, but {cpus} cores are there: train.threads=auto"
    if numerics["device"] == "cpu" and torch.cuda.is_available():
        return "network: machine.device=auto takes the GPU that is there"
    return "network: a smaller one, or smaller images: python -m src.list_models --time compares"


def _ms(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1000:.2f}"


def _draw(path: Path, phases: Sequence[Phase], batches: int) -> None:
    with styled():
        figure = new_figure(7.0, 3.4)
        axes = figure.subplots()
        names, values = [each.name for each in phases], [each.epoch for each in phases]
        bars = axes.barh(names, values, color=[BLUE if each.step is not None else SOFT for each in phases])
        axes.bar_label(bars, [f"{each.share:.0%}" for each in phases], padding=3, fontsize=8.0)
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("Seconds an epoch")
        axes.set_title("Where the time goes")
        subtitle(axes, f"{counted(batches, 'step')} an epoch; gray: once an epoch")
        save(figure, path)
