"""Folds in worker processes: whoever waits for them hears of it."""

import time
from pathlib import Path

import pytest

from src.core import progress
from src.cross_validation.fold_task import FoldTask
from src.cross_validation.train_folds import train_folds
from tests.cross_validation.test_fold import fold_task


@pytest.mark.slow
@pytest.mark.parametrize(("every", "waits"), [(0.1, True), (60.0, False)])
def test_whoever_waits_for_a_long_fold_hears_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: float, waits: bool
) -> None:
    task = fold_task(tmp_path)
    monkeypatch.setattr(progress, "EVERY", every)
    ended: list[FoldTask] = []
    waited: list[float] = []
    train_folds(
        [task],
        {task.name: (time.sleep, 0.5)},
        n_jobs=1,
        on_end=ended.append,
        on_break=lambda _: pytest.fail("it ended well"),
        on_wait=lambda: waited.append(time.monotonic()),
    )
    assert ended == [task]
    assert bool(waited) == waits
