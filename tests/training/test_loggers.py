"""machine.loggers: they show the whole history, and change no result."""

import csv
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from src.config.packages import LOGGERS
from src.core.errors import AssayError
from src.training.fit import fit
from src.training.loggers import create_loggers
from tests.support.training_tasks import digits_task

CURVES = ["train/loss", "val/loss", "val/accuracy", "lr"]


def task():
    return digits_task(model={"widths": [4, 8]}, train={"epochs": 3}, schedule={"warmup": 0.0})


def curves_of(path: Path) -> dict[str, list[float]]:
    """Lightning writes validation and training of an epoch in rows of their own."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = {name: [float(row[name]) for row in rows if row[name]] for name in CURVES}
    return found | {"step": sorted({int(row["step"]) for row in rows})}


def curves(history) -> dict[str, list[float]]:
    return {name: pytest.approx([row[name] for row in history]) for name in CURVES}


def expected(history) -> dict[str, list[float]]:
    """Of 600 images in batches of 64 an epoch has 9 steps."""
    return curves(history) | {"step": [9 * int(row["epoch"]) - 1 for row in history]}


def test_csv_has_the_history(tmp_path):
    fitted = fit(task(), tmp_path / "state", device="cpu", loggers=create_loggers(["csv"], tmp_path / "logs"))
    assert curves_of(tmp_path / "logs/csv/metrics.csv") == expected(fitted.history)


def test_a_logger_changes_no_weight(tmp_path):
    logged = fit(task(), tmp_path / "a", device="cpu", loggers=create_loggers(["csv"], tmp_path / "logs"))
    plain = fit(task(), tmp_path / "b", device="cpu")
    assert logged.history == plain.history
    weights = zip(logged.network.parameters(), plain.network.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in weights)


def test_a_resumed_training_logs_all_epochs(tmp_path):
    def stop(row):
        if row["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises((KeyboardInterrupt, SystemExit)):
        loggers = create_loggers(["csv"], tmp_path / "logs")
        fit(task(), tmp_path / "state", device="cpu", loggers=loggers, on_epoch=stop)
    fitted = fit(task(), tmp_path / "state", device="cpu", loggers=create_loggers(["csv"], tmp_path / "logs"))
    assert curves_of(tmp_path / "logs/csv/metrics.csv") == expected(fitted.history)


def test_tensorboard_has_the_history(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    loggers = create_loggers(["tensorboard"], tmp_path / "logs")
    fitted = fit(task(), tmp_path / "state", device="cpu", loggers=loggers)
    events = EventAccumulator(str(tmp_path / "logs/tensorboard")).Reload()
    found = {name: [event.value for event in events.Scalars(name)] for name in CURVES}
    assert found == curves(fitted.history)


def test_wandb_has_the_last_epoch(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    (logger,) = create_loggers(["wandb"], tmp_path / "logs")
    fitted = fit(task(), tmp_path / "state", device="cpu", loggers=[logger])
    assert logger.experiment.summary["val/accuracy"] == pytest.approx(fitted.history[-1]["val/accuracy"])
    logger.experiment.finish()


@pytest.mark.parametrize("name", [name for name, package in LOGGERS.items() if not find_spec(package)])
def test_a_missing_package_is_named_with_the_command(tmp_path, name):
    with pytest.raises(AssayError, match=rf"machine\.loggers names {name}.*`pip install {name}"):
        create_loggers([name], tmp_path)
