"""Find a batch size for the model and this machine: training speed at 16, 32, 64 … images in a batch.

    python -m src.find_batch_size                       with params.yaml
    python -m src.find_batch_size model=resnet18        with overrides, as for src.train

Trains a few steps with each size until memory runs out or an epoch would have fewer than ten steps, prints
the speeds, and suggests the smallest size that is nearly as fast as the fastest. Needs data/ingest,
data/split and data/normalize. A different batch size needs a different learning rate: run src.find_lr with
it. No stage runs this, and it changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from src.pipeline.measurement import command_with, run_measurement
from src.pipeline.paths import TRAINING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from src.config.schema import Config


def measure(config: Config, overrides: Sequence[str]) -> Iterator[str]:
    """Measure each size."""
    from src.range_tests.batch_sizes import measure_batch_sizes, suggested_size
    from src.training.task import read_task

    task, _ = read_task(config.model, config.augment, config.train, config.seed, **TRAINING)
    found = []
    for each in measure_batch_sizes(task, config.machine.device):
        yield f"{each.size:>6} images in a batch: {each.speed:>9,.0f} images a second"
        found.append(each)
    suggested = f"train.batch_size={suggested_size(found)}"
    yield f"suggestion: {suggested} (now {config.train.batch_size})"
    yield f"the learning rate for it: {command_with('find_lr', overrides, suggested)}"


if __name__ == "__main__":
    run_measurement("find_batch_size", measure, __doc__)
