"""The best epoch and the end of a training, from its metrics."""

import pytest

from src.config.schema.train import Train
from src.training.early_stopping import LAST, best_epoch, score, should_stop
from tests.support.training_tasks import section


def rows(*pairs: tuple[float, float]) -> list[dict[str, float]]:
    return [
        {"epoch": number, "val/accuracy": accuracy, "val/loss": loss}
        for number, (accuracy, loss) in enumerate(pairs, start=1)
    ]


def train(**changes) -> Train:
    whole = section("train/default.yaml") | {"epochs": 5} | changes
    whole["schedule"] |= {"name": "constant", "warmup": 0.0}
    return Train.model_validate(whole)


@pytest.mark.parametrize(
    ("pairs", "monitor", "best"),
    [
        ([(0.5, 1.0), (0.9, 2.0), (0.7, 0.5)], "val/accuracy", 2),
        ([(0.5, 1.0), (0.9, 2.0), (0.7, 0.5)], "val/loss", 3),
        ([(0.9, 1.0), (0.9, 0.8), (0.9, 0.9)], "val/accuracy", 2),  # the other metric decides
        ([(0.9, 1.0), (0.9, 1.0)], "val/accuracy", 1),  # then the first
        ([(0.9, 1.0), (0.5, 2.0), (0.7, 3.0)], LAST, 3),
    ],
)
def test_best_epoch(pairs, monitor, best):
    assert best_epoch(rows(*pairs), monitor) == best


@pytest.mark.parametrize(
    ("pairs", "patience", "over"),
    [
        ([], 2, False),
        ([(0.5, 1.0), (0.4, 1.0)], 2, False),
        ([(0.5, 1.0), (0.4, 1.0), (0.5, 1.0)], 2, True),  # an equal metric is no progress
        ([(0.5, 1.0), (0.4, 1.0), (0.6, 1.0)], 2, False),
        ([(0.5, 1.0), (0.4, 1.0), (0.3, 1.0)], 0, False),
        ([(0.5, 1.0)] * 5, 0, True),
    ],
)
def test_end(pairs, patience, over):
    assert should_stop(rows(*pairs), train(patience=patience)) is over


def test_with_the_last_epoch_no_validation_image_decides():
    """Not even when the learning rate drops: the schedule plateau then follows the training loss."""
    before = {"train/loss": 0.5, "val/loss": 1.0, "val/accuracy": 0.9}
    assert score(before | {"val/loss": 9.0, "val/accuracy": 0.1}, LAST) == score(before, LAST)
    assert score(before | {"train/loss": 0.4}, LAST) > score(before, LAST)
