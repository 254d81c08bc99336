"""Find a learning rate for the model, the data and the optimizer: a range test.

    python -m src.find_lr                                           with params.yaml
    python -m src.find_lr model=resnet18 train.optimizer.name=sgd   with overrides, as for src.train

Trains 140 steps with a rate that grows from 1e-6 to 10, prints a suggestion with the override to use, and
plots the loss against the rate in outputs/find_lr/. Needs data/ingest, data/split and data/normalize. The
rate is for train.optimizer.lr, the peak of the schedule. No stage runs this, and it changes nothing. The
digits take a few seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from src.pipeline.measurement import command_with, new_folder, run_measurement
from src.pipeline.paths import TRAINING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from src.config.schema import Config


def measure(config: Config, overrides: Sequence[str]) -> Iterator[str]:
    """Run the test, and draw it."""
    from src.range_tests.learning_rates import draw_rates, range_test
    from src.training.task import read_task

    task, _ = read_task(config.model, config.augment, config.train, config.seed, **TRAINING)
    found = range_test(task, config.machine.device, config.machine.progress)
    picture = draw_rates(new_folder("find_lr") / "lr.png", found, config.train.optimizer.lr)
    yield f"the loss falls to {min(found.losses):.3f} at most, see {picture}"
    suggested = f"train.optimizer.lr={found.suggestion:.2g}"
    yield f"suggestion: {suggested} (now {config.train.optimizer.lr:g})"
    yield f"try it: {command_with('train', overrides, suggested)}"


if __name__ == "__main__":
    run_measurement("find_lr", measure, __doc__)
