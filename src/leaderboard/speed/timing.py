"""How fast models are, measured side by side.

All models take turns in each of several rounds, so that a slow spell of the machine meets all of them; the
order moves on by one from round to round, so that none always comes after the same other. The first rounds
are dropped. Before each kind of batch there is one call that is not timed: it brings the model's weights
back into the caches, and its thread pool to life, after another model's turn.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src.core.errors import AssayError

Images = NDArray[np.uint8]  # (B, C, H, W)
Seconds = NDArray[np.float64]
Call = Callable[[Images], Any]

FEWEST = 5  # rounds that allow a ratio


@dataclass(frozen=True)
class TimingPlan:
    """What is timed, beside the rounds that are dropped."""

    rounds: int
    warmup: int  # rounds before them
    calls: int  # with one image, a model and round
    batches: int  # of each batch size, a model and round
    batch_sizes: tuple[int, ...]


@dataclass(frozen=True)
class Timing:
    """Seconds of one model."""

    single: Seconds  # (rounds, calls), for one image
    batches: dict[int, Seconds]  # size of a batch -> (rounds, batches)

    def latency_ms(self, percentile: float) -> float:
        """Milliseconds for one image that so many percent of all calls stay below."""
        return float(np.percentile(self.single, percentile)) * 1000

    def rates(self, batch_size: int) -> Seconds:
        """Images a second in each round, (rounds,), by the median of its batches: a single one that the
        machine held up says nothing of the model."""
        return np.asarray(batch_size / np.median(self.batches[batch_size], axis=1))

    def metrics(self) -> dict[str, float]:
        """By their names; low and high are the least and the greatest of the rounds."""
        medians = np.median(self.single, axis=1) * 1000
        figures = {
            "latency_ms_p50": self.latency_ms(50),
            "latency_ms_p50_low": float(medians.min()),
            "latency_ms_p50_high": float(medians.max()),
            "latency_ms_p95": self.latency_ms(95),
        }
        for size in self.batches:
            rates = self.rates(size)
            figures |= {
                f"throughput_{size}": float(np.median(rates)),
                f"throughput_{size}_low": float(rates.min()),
                f"throughput_{size}_high": float(rates.max()),
            }
        return figures


@dataclass(frozen=True)
class Ratio:
    """Median over the rounds, with the least and the greatest."""

    value: float
    low: float
    high: float


def measure(
    models: Mapping[str, Call],
    images: Images,
    plan: TimingPlan,
    advance: Callable[[int], None] = lambda _: None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timing]:
    """Time all ``models``, each of which takes images (B, C, H, W) and answers when it is done.

    ``images``: (n, C, H, W), n at least the greatest batch size; a call takes the next of them.
    ``advance`` is told of each model's turn, ``clock`` gives seconds.
    """
    names = list(models)
    turns: dict[str, list[Timing]] = {name: [] for name in names}
    for number in range(plan.warmup + plan.rounds):
        for name in rotated(names, number):
            turns[name].append(_turn(models[name], images, plan, clock))
            advance(1)
    return {name: _join(those[plan.warmup :], plan.batch_sizes) for name, those in turns.items()}


def rotated(names: Sequence[str], number: int) -> list[str]:
    """The order of round ``number``."""
    start = number % len(names)
    return [*names[start:], *names[:start]]


def ratio(own: Seconds, reference: Seconds) -> Ratio:
    """How many times as fast, from the rates of the same rounds (rounds,).

    Raises:
        AssayError: too few rounds to say so.
    """
    if len(own) < FEWEST:
        raise AssayError(
            f"benchmark.rounds={len(own)} allow no ratio of speeds: set it to {FEWEST} or more, "
            "and look at how far the rounds lie apart"
        )
    ratios = own / reference
    return Ratio(float(np.median(ratios)), float(ratios.min()), float(ratios.max()))


def _turn(model: Call, images: Images, plan: TimingPlan, clock: Callable[[], float]) -> Timing:
    single = _seconds(model, images, 1, plan.calls, clock)
    batches = {size: _seconds(model, images, size, plan.batches, clock) for size in plan.batch_sizes}
    return Timing(single, batches)


def _seconds(model: Call, images: Images, size: int, count: int, clock: Callable[[], float]) -> Seconds:
    """Of each of ``count`` calls, (count,)."""
    model(images[:size])
    seconds = np.empty(count)
    for index in range(count):
        batch = np.ascontiguousarray(_next(images, size, index))
        begin = clock()
        model(batch)
        seconds[index] = clock() - begin
    return seconds


def _next(images: Images, size: int, index: int) -> Images:
    """The batch of call ``index``: one after the other, and from the start again."""
    start = index * size % (len(images) - size + 1)
    return images[start : start + size]


def _join(turns: Sequence[Timing], sizes: Sequence[int]) -> Timing:
    single = np.stack([turn.single for turn in turns])
    return Timing(single, {size: np.stack([turn.batches[size] for turn in turns]) for size in sizes})
