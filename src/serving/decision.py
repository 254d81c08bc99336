"""What a model answers, given its probabilities: the rule that stage compress wrote into ``model.json``.

Like the decoder, this file travels with every registered model. A rule is JSON; ``method`` is one of

- ``thresholds``: with ``of_class``, that class wherever its probability reaches the threshold, else the most
  probable class; fitted to a precision, the most probable of the others. Without it, the most probable class
  if it reaches its own threshold, else no answer.
- ``costs``: the class with the lowest expected cost (Elkan, "The Foundations of Cost-Sensitive Learning",
  2001).
- ``abstain``: the most probable class if its probability reaches ``confidence``, else no answer.
- ``conformal``: the set of classes whose score is at most ``quantile``.

A threshold of null is never reached.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Rule = Mapping[str, Any]
Answer = str | list[str] | None  # a class; a set of classes, the most probable first; no answer


def decide(probabilities: Floats, classes: Sequence[str], rule: Rule) -> list[Answer]:
    """The answer for each image.

    Args:
        probabilities: (n, K).
        classes: K names.
        rule: ``decision`` of ``model.json``.
    """
    if rule["method"] == "conformal":
        return _sets(probabilities, classes, rule)
    if rule["method"] == "abstain":
        chosen = _abstain(probabilities, rule)
    else:
        chosen = {"thresholds": _thresholds, "costs": _costs}[rule["method"]](probabilities, classes, rule)
    return [None if k < 0 else classes[k] for k in chosen.tolist()]


def conformity_scores(probabilities: Floats, score: str) -> Floats:
    """How badly each class fits, (n, K) -> (n, K): a set has the classes up to a quantile of this score.

    ``lac``: one minus the probability (Sadinle, Lei and Wasserman, "Least Ambiguous Set-Valued Classifiers
    with Bounded Error Levels", 2019). ``aps``: the sum of the probabilities that are higher (Romano, Sesia
    and Candès, "Classification with Valid and Adaptive Coverage", 2020, without randomization); the most
    probable class has 0, so no set is empty.
    """
    if score == "lac":
        return 1 - probabilities
    order = np.argsort(-probabilities, axis=1, kind="stable")
    ranked = np.take_along_axis(probabilities, order, axis=1)
    above = np.zeros_like(ranked)
    above[:, 1:] = np.cumsum(ranked, axis=1)[:, :-1]
    scores = np.empty_like(probabilities)
    np.put_along_axis(scores, order, above, axis=1)
    return scores


def describe(rule: Rule) -> str:
    """The rule in a few words, such as "the most probable class from 0.93 on, else no answer"."""
    if rule["method"] == "costs":
        return "the class with the lowest expected cost"
    if rule["method"] == "abstain" and rule["confidence"] is None:
        return "no answer to any image"
    if rule["method"] == "abstain":
        return f"{_from('the most probable class', rule['confidence'])}, else no answer"
    if rule["method"] == "conformal":
        return (
            f"a set of classes, which contains the true one of {rule['stated']['coverage']:.4g} of the images"
        )
    name = rule["of_class"]
    if name is None:
        return "the most probable class from its own threshold on, else no answer"
    other = "other " if "precision" in rule["stated"] else ""
    return f"{_from(name, rule['thresholds'][name])}, else the most probable {other}class"


def _from(name: str, threshold: float | None) -> str:
    return f"never {name}" if threshold is None else f"{name} from {threshold:.4g} on"


def _thresholds(probabilities: Floats, classes: Sequence[str], rule: Rule) -> npt.NDArray[np.int64]:
    if rule["of_class"] is None:
        levels = np.array([_level(rule["thresholds"][name]) for name in classes])
        best = probabilities.argmax(axis=1)
        return np.where(probabilities.max(axis=1) >= levels[best], best, -1)
    column = classes.index(rule["of_class"])
    rest = probabilities.copy()
    if "precision" in rule["stated"]:  # a threshold for a recall only adds answers
        rest[:, column] = -1
    reached = probabilities[:, column] >= _level(rule["thresholds"][rule["of_class"]])
    return np.where(reached, column, rest.argmax(axis=1))


def _costs(probabilities: Floats, classes: Sequence[str], rule: Rule) -> npt.NDArray[np.int64]:
    costs = np.array([[rule["costs"][actual][answer] for answer in classes] for actual in classes])
    return np.asarray((probabilities @ costs).argmin(axis=1), dtype=np.int64)


def _abstain(probabilities: Floats, rule: Rule) -> npt.NDArray[np.int64]:
    sure = probabilities.max(axis=1) >= _level(rule["confidence"])
    return np.where(sure, probabilities.argmax(axis=1), -1)


def _sets(probabilities: Floats, classes: Sequence[str], rule: Rule) -> list[Answer]:
    kept = conformity_scores(probabilities, rule["score"]) <= rule["quantile"]
    order = np.argsort(-probabilities, axis=1, kind="stable")
    return [
        [classes[k] for k in ranked if inside[k]]
        for ranked, inside in zip(order.tolist(), kept.tolist(), strict=True)
    ]


def _level(threshold: float | None) -> float:
    return np.inf if threshold is None else threshold
