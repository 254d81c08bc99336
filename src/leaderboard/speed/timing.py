"""Measures the speed of models side by side.

All models take turns in each of several rounds, so that a slow spell of the machine affects all of them. The
order rotates by one from round to round, so that no model always follows the same other. The first rounds
are warm-up. One call before each kind of batch is not timed: after another model's turn it brings the
weights back into the caches and wakes the thread pool.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src.config.schema.evaluate import Benchmark
from src.core.errors import AssayError
from src.core.metric_names import with_limits

Images = NDArray[np.uint8]  # (B, C, H, W)
Seconds = NDArray[np.float64]
Call = Callable[[Images], Any]

FEWEST = 5  # rounds for a ratio


@dataclass(frozen=True)
class TimingPlan:
    """What is timed."""

    rounds: int
    warmup: int  # rounds before them, which are dropped
    calls: int  # with one image, per model and round
    batches: int  # of each batch size, per model and round
    batch_sizes: tuple[int, ...]

    @classmethod
    def of(cls, settings: Benchmark) -> "TimingPlan":
        """The plan of section ``benchmark``."""
        return cls(
            settings.rounds, settings.warmup, settings.calls, settings.batches, tuple(settings.batch_sizes)
        )


@dataclass(frozen=True)
class Timing:
    """Seconds of one model."""

    single: Seconds  # (rounds, calls), for one image
    batches: dict[int, Seconds]  # size of a batch -> (rounds, batches)

    def latency_ms(self, percentile: float) -> float:
        """Milliseconds for one image, as a percentile over all calls."""
        return float(np.percentile(self.single, percentile)) * 1000

    def rates(self, batch_size: int) -> Seconds:
        """Images per second in each round, (rounds,), by the median of its batches: one batch that the
        machine delayed says nothing about the model."""
        return np.asarray(batch_size / np.median(self.batches[batch_size], axis=1))

    def metrics(self) -> dict[str, float]:
        """By name; low and high are the smallest and the largest value of the rounds."""
        medians = np.median(self.single, axis=1) * 1000
        latency = Spread(self.latency_ms(50), float(medians.min()), float(medians.max()))
        metrics = latency.metrics("speed/latency_p50_ms") | {"speed/latency_p95_ms": self.latency_ms(95)}
        for size in self.batches:
            metrics |= Spread.over(self.rates(size)).metrics(f"speed/throughput/{size}")
        return metrics


@dataclass(frozen=True)
class Spread:
    """A value with the smallest and the largest of the rounds."""

    value: float
    low: float
    high: float

    @classmethod
    def over(cls, rounds: Seconds) -> "Spread":
        """The median of the ``rounds`` (rounds,)."""
        return cls(float(np.median(rounds)), float(rounds.min()), float(rounds.max()))

    def metrics(self, name: str) -> dict[str, float]:
        """By ``name``."""
        return dict(zip(with_limits(name), (self.value, self.low, self.high), strict=True))


def measure(
    models: Mapping[str, Call],
    images: Images,
    plan: TimingPlan,
    advance: Callable[[int], None] = lambda _: None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timing]:
    """Time all models.

    Args:
        models: functions of images (B, C, H, W) that return when the result is there.
        images: (n, C, H, W), n at least the largest batch size; each call takes the next of them.
        plan: what is timed.
        advance: called after each turn of a model.
        clock: seconds.
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


def ratio(own: Seconds, reference: Seconds) -> Spread:
    """How many times as fast, from the rates of the same rounds (rounds,).

    Raises:
        AssayError: the rounds are too few.
    """
    if len(own) < FEWEST:
        raise AssayError(
            f"benchmark.rounds must be at least {FEWEST} for ratios of speeds, but got rounds={len(own)}"
        )
    return Spread.over(own / reference)


def _turn(model: Call, images: Images, plan: TimingPlan, clock: Callable[[], float]) -> Timing:
    single = _seconds(model, images, 1, plan.calls, clock)
    batches = {size: _seconds(model, images, size, plan.batches, clock) for size in plan.batch_sizes}
    return Timing(single, batches)


def _seconds(model: Call, images: Images, size: int, count: int, clock: Callable[[], float]) -> Seconds:
    """Duration of each of ``count`` calls, (count,)."""
    model(images[:size])
    seconds = np.empty(count)
    for index in range(count):
        batch = np.ascontiguousarray(_next(images, size, index))
        begin = clock()
        model(batch)
        seconds[index] = clock() - begin
    return seconds


def _next(images: Images, size: int, index: int) -> Images:
    """The batch of call ``index``: one after another, then from the start again."""
    start = index * size % (len(images) - size + 1)
    return images[start : start + size]


def _join(turns: Sequence[Timing], sizes: Sequence[int]) -> Timing:
    single = np.stack([turn.single for turn in turns])
    return Timing(single, {size: np.stack([turn.batches[size] for turn in turns]) for size in sizes})
