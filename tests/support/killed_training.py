"""A training in a process that may kill itself: killed_training.py SETTING STATE OUTCOME [read|save N].

SETTING is one of SETTINGS, or model=NAME.
"""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[2])

from src.training.fit import fit  # noqa: E402
from tests.support.deadly_images import Deadly  # noqa: E402
from tests.support.training_tasks import SETTINGS, digits_task, model_task, write_outcome  # noqa: E402


def die_in_save(folder: Path, count: int) -> None:
    """Killed while the Nth checkpoint is half written."""
    real, left = os.fsync, [count]

    def fsync(descriptor: int) -> None:
        left[0] -= 1
        if left[0] == 0:
            os.truncate(folder / f"last.ckpt.{os.getpid()}.tmp", 1000)
            os.kill(os.getpid(), signal.SIGKILL)
        real(descriptor)

    os.fsync = fsync


setting, state, outcome, *death = sys.argv[1:]
name = setting.removeprefix("model=")
task = digits_task(**SETTINGS[setting]) if setting in SETTINGS else model_task(name)
if death:
    kind, count = death[0], int(death[1])
    if kind == "read":
        Deadly.left = count
        task = replace(task, images=task.images.view(Deadly))
    else:
        die_in_save(Path(state), count)
reported: list[dict[str, float]] = []
fitted = fit(task, Path(state), device="cpu", on_epoch=reported.append)
assert reported == fitted.history
write_outcome(Path(outcome), fitted)
