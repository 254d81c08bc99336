"""What each model of ``conf/model`` is and costs, as a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import numpy as np
import torch
from torch import nn

from src.config.schema import Config
from src.config.schema.model import Backbone, ModelConfig
from src.core.errors import AssayError
from src.models.build import build_model
from src.models.size import count_macs, count_parameters
from src.proposal.available_weights import is_available
from src.proposal.timing import StepTimes, measure

CLASSES = 10  # of the heads: they hardly change a size
SIDES = (4, 8, 16, 28, 32, 48, 64, 75, 96, 128, 160, 224, 299)  # pixels, tried for the smallest size
BYTES = 4  # of a weight in fp32
SECONDS = 1.0  # of a measurement


@dataclass(frozen=True)
class ModelRow:
    """One line; a size is None if the model cannot take such images."""

    choice: str
    parameters: int | None
    layers: int | None
    macs: int | None
    smallest: int | None  # pixels of a square image
    times: StepTimes | None
    weights: str  # where they are on this machine; "": nowhere, "–": it has none
    good_for: str


def describe_model(choice: str, config: Config, weights: Path, good_for: str, timed: bool) -> ModelRow:
    """One model for the image size and channels of ``config``."""
    model, channels, size = config.model, config.data.channels, config.data.image_size
    network = _built(model, channels, size)
    images = np.zeros((1, channels, *size), np.uint8)
    example = torch.zeros(1, channels, *size)
    return ModelRow(
        choice=choice,
        parameters=count_parameters(network) if network else None,
        layers=longest_path(network, example) if network else None,
        macs=count_macs(network.eval(), example) if network else None,
        smallest=_smallest(model, channels),
        times=measure(config, images, CLASSES, SECONDS) if timed and network else None,
        weights=_where(model, weights),
        good_for=good_for,
    )


def longest_path(network: nn.Module, example: torch.Tensor) -> int:
    """The most convolutions and linear layers on any path from the input to the logits.

    Found by running ``example`` (1, C, H, W): every tensor carries the number of layers it has passed, in the
    graph that autograd records.
    """
    network.eval()
    with torch.enable_grad():
        result = network(example.clone().requires_grad_(True))
    depths: dict[object, int] = {}
    stack: list[tuple[object, bool]] = [(result.grad_fn, False)]
    while stack:
        node, expanded = stack.pop()
        if node in depths:
            continue
        below = [parent for parent, _ in node.next_functions if parent is not None]  # type: ignore[attr-defined]
        if not expanded:
            stack += [(node, True), *((parent, False) for parent in below if parent not in depths)]
            continue
        depths[node] = max((depths[parent] for parent in below), default=0) + _is_layer(node)
    return depths[result.grad_fn]


def purpose(text: str) -> str:
    """What a file in conf/model says about its model: the comments above the first key."""
    lines = takewhile(lambda line: line.startswith("#"), text.splitlines())
    return " ".join(line.removeprefix("#").strip() for line in lines)


def print_table(rows: Sequence[ModelRow], timed: bool) -> None:
    """To the terminal, smallest first."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    names = ["model", "parameters", "layers", "multiply-adds", "bytes", "smallest"]
    names += ["training", "inference"] if timed else []
    for name in names:
        table.add_column(name, justify="left" if name == "model" else "right", no_wrap=True)
    table.add_column("weights", no_wrap=True)
    table.add_column("what it is, and good for", overflow="fold")
    for row in sorted(rows, key=lambda each: (each.parameters is None, each.parameters or 0, each.choice)):
        table.add_row(*_cells(row, timed))
    console = Console()
    console.width = max(console.width, 150) if not console.is_terminal else console.width
    console.print(table)
    print(
        "\nsmallest: side in pixels of the smallest square image that a model takes. "
        "–: the model cannot take these images, or it has no ImageNet weights."
    )
    if timed:
        print("training, inference: milliseconds per image on this machine, under its current load.")


def _cells(row: ModelRow, timed: bool) -> list[str]:
    times = [row.times.training, row.times.inference] if row.times else [None, None]
    return [
        row.choice,
        _count(row.parameters),
        _count(row.layers),
        _count(row.macs),
        _count(row.parameters and row.parameters * BYTES),
        _count(row.smallest),
        *([f"{1000 * each:.2g}" if each is not None else "–" for each in times] if timed else []),
        row.weights,
        row.good_for,
    ]


def _count(number: int | None) -> str:
    return "–" if number is None else f"{number:,}"


def _is_layer(node: object) -> int:
    """Whether a step of the graph is a convolution or a product with weights."""
    name = type(node).__name__
    return int(name.startswith(("ConvolutionBackward", "AddmmBackward", "MmBackward", "LinearBackward")))


def _built(model: ModelConfig, channels: int, size: Sequence[int]) -> nn.Module | None:
    try:
        return build_model(model, channels, CLASSES, size)
    except AssayError:
        return None


def _smallest(model: ModelConfig, channels: int) -> int | None:
    """Found by trying, from the smallest on; training needs that much too."""
    return next((side for side in SIDES if _built(model, channels, (side, side)) is not None), None)


def _where(model: ModelConfig, folder: Path) -> str:
    if not isinstance(model, Backbone):
        return "–"
    return is_available(model.name, folder)
