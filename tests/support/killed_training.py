"""A training in a process that may kill itself: killed_training.py SETTING STATE OUTCOME [DEATH N].

SETTING is one of SETTINGS, model=NAME, or fitted=KIND with a classifier on features, whose weights are beside
STATE, as the features are. DEATH is read (images for the Nth time), save (the Nth checkpoint), store (the Nth
file of features) or mark (the hash of the Nth file of features).
"""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np

sys.path[0] = str(Path(__file__).parents[2])

from src.training import features  # noqa: E402
from src.training.fit import fit  # noqa: E402
from tests.support.deadly_images import Deadly  # noqa: E402
from tests.support.feature_models import feature_task  # noqa: E402
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


def die_in_store(count: int) -> None:
    """Killed while the Nth file of features is half written."""
    real, left = np.save, [count]

    def save(file: IO[bytes], array: np.ndarray) -> None:
        left[0] -= 1
        real(file, array if left[0] else array[: len(array) // 2])
        if left[0] == 0:
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)

    np.save = save


def die_before_mark(count: int) -> None:
    """Killed when the Nth file of features is there, and its hash is not."""
    real, left = features.file_hash, [count]

    def file_hash(path: Path) -> str:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(path)

    features.file_hash = file_hash


setting, state, outcome, *death = sys.argv[1:]
kind, _, name = setting.partition("=")
if kind == "fitted":
    task = feature_task(name, Path(state).with_name("weights"))
else:
    task = model_task(name) if kind == "model" else digits_task(**SETTINGS[setting])
task = replace(task, features=Path(state).with_name("features"))
if death:
    count = int(death[1])
    match death[0]:
        case "read":
            Deadly.left = count
            task = replace(task, images=task.images.view(Deadly))
        case "save":
            die_in_save(Path(state), count)
        case "store":
            die_in_store(count)
        case "mark":
            die_before_mark(count)
reported: list[dict[str, float]] = []
fitted = fit(task, Path(state), device="cpu", on_epoch=reported.append)
assert reported == fitted.history
write_outcome(Path(outcome), fitted)
