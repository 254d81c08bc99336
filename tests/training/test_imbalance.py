"""Classes of 150 and of 3 images: weights and sampling help the small ones."""

import numpy as np
import pytest

from src.training.fit import fit
from tests.support.training_tasks import CROP, digits, digits_task

RARE = {5, 6, 7, 8, 9}
MANY, FEW = 150, 3  # 50 : 1
SEEDS = (0, 1, 2)


def uneven_task(seed, **train):
    """All other images validate, so many of each class."""
    targets = digits()[1]
    order = np.random.default_rng(seed).permutation(len(targets))
    wanted = {label: FEW if label in RARE else MANY for label in range(10)}
    taken = [order[targets[order] == label][:count] for label, count in wanted.items()]
    task = digits_task(
        seed=seed,
        images=len(targets),
        model={"widths": [16, 32]},
        train={"epochs": 30, "monitor": "val/loss", "precision": "fp32", **train},
        augment=[CROP],
        optimizer={"lr": 0.004},
    )
    rows = np.sort(np.concatenate(taken))
    return task.__class__(
        **vars(task)
        | {
            "train_rows": rows,
            "val_rows": np.setdiff1d(order, rows),
            "metrics": ("val/balanced_accuracy",),
        }
    )


def balanced_accuracy(folder, seed, **train):
    """After the last epoch, so that no validation image chooses anything."""
    return fit(uneven_task(seed, **train), folder, device="cpu").history[-1]["val/balanced_accuracy"]


@pytest.mark.prove
@pytest.mark.parametrize(
    "train",
    [
        {"class_weights": "balanced"},
        {"class_weights": "effective_number", "class_weights_beta": 0.999},
        {"sampler": "balanced"},
    ],
    ids=["balanced weights", "effective number", "balanced sampler"],
)
def test_balanced_accuracy_is_at_least_five_points_better(tmp_path, train):
    gains = []
    for seed in SEEDS:
        plain = balanced_accuracy(tmp_path / f"{seed}", seed)
        helped = balanced_accuracy(tmp_path / f"{seed}-helped", seed, **train)
        gains.append(helped - plain)
        print(f"{train}: seed {seed}: {plain:.3f} -> {helped:.3f}")
    assert min(gains) >= 0.05
