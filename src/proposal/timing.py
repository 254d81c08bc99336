"""How long one image takes in training and in inference, measured with real steps for a few seconds.

On a CPU this is the processor time of the step, so the result is that of a machine with nothing
else to do, and the same while other programs compute. One thread is measured, because threads that wait for
each other on a busy machine look as if they worked; several share the work nearly evenly.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from src.config.schema import Config
from src.core.errors import AssayError
from src.data.loading.augmentation import Augmentation
from src.models.build import build_model
from src.models.numerics import choose_device, computing, resolve_precision, wall_clock
from src.training.freezing import freeze
from src.training.optimizers import create_optimizer

STEPS = 3  # at least, of which the fastest counts: other processes only ever slow a step down
CPU_BATCH = 16  # images: a CPU takes about the same time for each in any batch
EFFICIENCY = 0.8  # of each thread after the first
LONGEST = 4.0  # times the seconds that were asked for, after which two steps must do


@dataclass(frozen=True)
class StepTimes:
    """Seconds for an image; ``training`` is forward, backward and optimizer, augmentation included."""

    training: float
    inference: float
    parameters: int


def measure(config: Config, images: NDArray[np.uint8], classes: int, seconds: float) -> StepTimes:
    """Train and run the model of ``config`` on batches of ``images`` (M, C, H, W) for about ``seconds``.

    Raises:
        AssayError: the model cannot take such images.
    """
    device = choose_device(config.machine.device)
    with computing(config.train) as threads:
        clock, share = (wall_clock, 1.0) if device.type == "cuda" else (time.process_time, _share(threads))
        torch.set_num_threads(1)
        network = build_model(config.model, images.shape[1], classes, images.shape[2:])
        freeze(network, config.train.finetune, epoch=0)
        network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimizer = create_optimizer(network, config.train.optimizer)
        augmentation = Augmentation(config.augment.operations)
        bf16 = resolve_precision(config.train.precision, device, network) == "bf16"
        most = config.train.batch_size if device.type == "cuda" else CPU_BATCH
        batch = _batch(images, min(config.train.batch_size, most)).to(device)
        targets = torch.arange(len(batch), device=device) % classes

        def step() -> None:
            x = augmentation(batch.float() / 255).contiguous(memory_format=torch.channels_last)
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                logits: Tensor = network(x)
            optimizer.zero_grad()
            loss: Tensor = functional.cross_entropy(logits.float(), targets)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()

        def infer() -> None:
            with torch.inference_mode():
                network((batch.float() / 255).contiguous(memory_format=torch.channels_last))

        network.train()
        training = _fastest(step, clock, seconds * 2 / 3)
        network.eval()
        inference = _fastest(infer, clock, seconds / 3)
    count = sum(parameter.numel() for parameter in network.parameters())
    return StepTimes(training * share / len(batch), inference * share / len(batch), count)


def _batch(images: NDArray[np.uint8], size: int) -> Tensor:
    """The first images, repeated where they are fewer than a batch."""
    if not len(images):
        raise AssayError("no images to measure with")
    repeated = np.resize(images, (size, *images.shape[1:])) if len(images) < size else images[:size]
    return torch.from_numpy(np.ascontiguousarray(repeated))


def _share(threads: int) -> float:
    """The share of one thread's work that each of several does."""
    return 1 / (1 + EFFICIENCY * (threads - 1))


def _fastest(step: Callable[[], None], clock: Callable[[], float], seconds: float) -> float:
    """Seconds of the fastest step, after one that is not counted."""
    best, start, count = math.inf, time.perf_counter(), -1
    while count < STEPS or time.perf_counter() - start < seconds:
        before = clock()
        step()
        best, count = min(best, clock() - before) if count >= 0 else best, count + 1
        if count and time.perf_counter() - start > LONGEST * seconds:
            break
    return best
