"""Predictions of known shape."""

import numpy as np

from src.config.schema.evaluate import Decision

# name: (classes, rows of each class, how sure, steps that probabilities are rounded to or 0)
CASES = {
    "two classes": (2, [40, 60], 1.5, 0),
    "two, imbalanced": (2, [97, 3], 2.0, 0),
    "two, ties": (2, [30, 30], 1.0, 4),
    "three classes": (3, [50, 50, 50], 1.5, 0),
    "three, guessing": (3, [20, 30, 40], 0.0, 0),
    "three, ties": (3, [40, 40, 20], 1.0, 5),
    "three, one missing": (3, [40, 0, 20], 1.0, 0),
    "ten classes": (10, [30] * 10, 2.0, 0),
    "ten, imbalanced": (10, [200, 2, 3, 40, 50, 1, 7, 80, 9, 10], 2.0, 0),
    "ten, ties": (10, [25] * 10, 2.0, 20),
    "ten, three missing": (10, [30, 0, 30, 30, 0, 5, 6, 0, 8, 9], 2.0, 0),
    "ten, nearly right": (10, [30] * 10, 12.0, 0),
}


def scores(classes, rows, sureness, steps, seed=0):
    """Probabilities (n, K) and targets (n,), shuffled."""
    random = np.random.default_rng(seed)
    targets = random.permutation(np.repeat(np.arange(classes), rows))
    logits = random.normal(size=(len(targets), classes))
    logits[np.arange(len(targets)), targets] += sureness
    probabilities = np.exp(logits)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    if steps:  # at least one step each, so that the log loss stays finite
        parts = np.floor(probabilities * steps) + 1
        probabilities = parts / parts.sum(axis=1, keepdims=True)
    return probabilities, targets


def case(name):
    return scores(*CASES[name])


def make_decision(method, **changes):
    """Section evaluate.decision with what the method needs, and nothing else."""
    values = dict.fromkeys(("of_class", "precision", "recall", "confidence", "accuracy"))
    return Decision(**{"method": method, "costs": {}, "coverage": 0.9, "score": "lac"} | values | changes)
