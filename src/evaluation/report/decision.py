"""How well a decision rule does: ``decision.json``, and for abstention accuracy against coverage."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src.core.csv_files import write_csv
from src.core.files import write_json
from src.evaluation.fitted.decision import CoverageCurve, coverage_curve
from src.evaluation.metrics.classification import Floats, Integers
from src.evaluation.predictions import Predictions
from src.evaluation.uncertainty.intervals import wilson
from src.plotting.style import BLUE, ORANGE, new_figure, save, styled, subtitle
from src.serving.decision import Answer, decide, describe

Rule = Mapping[str, Any]


def publish_decision(
    folder: Path, rule: Rule, fitting: Predictions, tested: Predictions, confidence: float
) -> tuple[list[Path], str]:
    """Write the rule's results on the images that it was fitted to, and on the test images.

    Args:
        folder: receives decision.json, and with abstention coverage.csv and coverage.png.
        rule: as in model.json.
        fitting: predictions for the images that the rule was fitted to, if it was fitted to any.
        tested: predictions for the test images.
        confidence: of the intervals.

    Returns:
        The figures, and one line for the terminal.
    """
    test = rule_metrics(rule, tested.probabilities, tested.targets, tested.classes, confidence)
    fitted = rule_metrics(rule, fitting.probabilities, fitting.targets, fitting.classes, confidence)
    content = {"rule": rule, "fitted": fitted if "fitted_on" in rule else None, "test": test}
    figures = []
    if rule["method"] == "abstain":
        curve = coverage_curve(tested.probabilities, tested.targets)
        content["test"] = {**test, "aurc": curve.area}
        figures.append(_publish_curve(folder, curve, test))
    write_json(folder / "decision.json", content)
    return figures, _sentence(rule, test, confidence)


def rule_metrics(
    rule: Rule, probabilities: Floats, targets: Integers, classes: Sequence[str], confidence: float
) -> dict[str, Any]:
    """The rule's results on n images; a share of no images is None.

    Args:
        rule: as in model.json.
        probabilities: (n, K).
        targets: (n,).
        classes: K names.
        confidence: of the intervals, which are Wilson's.
    """
    answers = decide(probabilities, classes, rule)
    if rule["method"] == "conformal":
        return _of_sets(answers, targets, classes, confidence)
    number = {name: k for k, name in enumerate(classes)}
    chosen = np.array([-1 if answer is None else number[str(answer)] for answer in answers])
    metrics = _of_answers(chosen, targets, classes, confidence)
    if rule["method"] == "costs":
        costs = np.array([[rule["costs"][actual][answer] for answer in classes] for actual in classes])
        likeliest = probabilities.argmax(axis=1)
        metrics["mean_cost"] = float(costs[targets, chosen].mean())
        metrics["mean_cost_of_the_most_probable"] = float(costs[targets, likeliest].mean())
    return metrics


def _of_answers(
    chosen: Integers, targets: Integers, classes: Sequence[str], confidence: float
) -> dict[str, Any]:
    """``chosen`` (n,) is -1 without an answer, which counts as a miss in the recall of the class."""
    answered, right = chosen >= 0, chosen == targets
    return {
        "images": len(targets),
        "answered": _share(answered, confidence),
        "accuracy_of_answered": _share(right[answered], confidence),
        "classes": {
            name: {
                "precision": _share(right[chosen == k], confidence),
                "recall": _share(right[targets == k], confidence),
            }
            for k, name in enumerate(classes)
        },
    }


def _of_sets(
    answers: Sequence[Answer], targets: Integers, classes: Sequence[str], confidence: float
) -> dict[str, Any]:
    covered = np.array([classes[k] in (answer or ()) for answer, k in zip(answers, targets, strict=True)])
    sizes = np.array([len(answer or ()) for answer in answers])
    return {
        "images": len(targets),
        "coverage": _share(covered, confidence),
        "mean_set_size": float(sizes.mean()),
        "set_sizes": {str(size): int((sizes == size).sum()) for size in np.unique(sizes).tolist()},
        "classes": {
            name: {"coverage": _share(covered[targets == k], confidence)} for k, name in enumerate(classes)
        },
    }


def _share(hits: NDArray[np.bool_], confidence: float) -> dict[str, float] | None:
    if not len(hits):
        return None
    limits = wilson(int(hits.sum()), len(hits), confidence)
    return {"value": float(hits.mean()), "low": limits.low, "high": limits.high}


def _sentence(rule: Rule, test: Mapping[str, Any], confidence: float) -> str:
    fitted = rule.get("fitted_on")
    source = f", fitted to {fitted['images']:,} {fitted['split']} images" if fitted else ""
    return f"Decision: {describe(rule)}{source}. On the test images, {_result(rule, test, confidence)}"


def _result(rule: Rule, test: Mapping[str, Any], confidence: float) -> str:
    if rule["method"] == "conformal":
        return (
            f"{_with_limits(test['coverage'], confidence)} of the sets have the true class, and a set has "
            f"{test['mean_set_size']:.2f} classes on average"
        )
    if rule["method"] == "costs":
        return (
            f"a decision costs {test['mean_cost']:.4f} on average "
            f"({test['mean_cost_of_the_most_probable']:.4f} if it were the most probable class)"
        )
    if rule.get("of_class") is not None:
        return _of_one_class(rule, test, confidence)
    right = test["accuracy_of_answered"]
    share = f"{test['answered']['value']:.4f} are answered"
    answered = f"{share}, {_with_limits(right, confidence)} of these correctly" if right else share
    return f"{answered}{_asked(rule.get('stated', {}), test)}"


def _of_one_class(rule: Rule, test: Mapping[str, Any], confidence: float) -> str:
    """The precision or recall that was asked for and what the class has, then the other of the two."""
    name, ((metric, asked),) = rule["of_class"], rule["stated"].items()
    reached = _of_class(metric, test["classes"][name], confidence)
    other = _of_class("recall" if metric == "precision" else "precision", test["classes"][name], confidence)
    return f"{name} has {reached}, where {asked:.4g} was asked for, and {other}"


def _of_class(metric: str, found: Mapping[str, Any], confidence: float) -> str:
    if found[metric]:
        return f"{metric} {_with_limits(found[metric], confidence)}"
    return f"no {metric} ({'it is never answered' if metric == 'precision' else 'no image is of it'})"


def _asked(stated: Mapping[str, float], test: Mapping[str, Any]) -> str:
    """For a rule for all classes: the accuracy of the answers, or the precision of each class."""
    if "accuracy" in stated:
        return f"; {stated['accuracy']:.4g} was asked for"
    if "precision" not in stated:
        return ""
    asked = stated["precision"]
    short = [
        name
        for name, found in test["classes"].items()
        if found["precision"] and found["precision"]["value"] < asked
    ]
    reached = f"short of it: {', '.join(short)}" if short else "every class that is answered has it"
    return f"; precision {asked:.4g} was asked for, {reached}"


def _with_limits(share: Mapping[str, float], confidence: float) -> str:
    limits = f"{share['low']:.3f} to {share['high']:.3f}"
    return f"{share['value']:.4f} ({100 * confidence:.4g}% interval {limits})"


def _publish_curve(folder: Path, curve: CoverageCurve, test: Mapping[str, Any]) -> Path:
    columns = (curve.confidence.tolist(), curve.coverage.tolist(), curve.accuracy.tolist())
    write_csv(folder / "coverage.csv", ["confidence", "coverage", "accuracy"], zip(*columns, strict=True))
    return draw_coverage(folder / "coverage.png", curve, test)


def draw_coverage(path: Path, curve: CoverageCurve, test: Mapping[str, Any]) -> Path:
    """Draw accuracy against coverage, and where the rule is; ``test`` is what `rule_metrics` says of it."""
    with styled():
        figure = new_figure(5.6, 3.8)
        axes = figure.subplots()
        axes.plot(curve.coverage, curve.accuracy, color=BLUE, drawstyle="steps-pre")
        if test["accuracy_of_answered"]:
            place = test["answered"]["value"], test["accuracy_of_answered"]["value"]
            axes.plot(*place, "o", color=ORANGE, markeredgecolor="white", label="the rule")
            axes.legend(loc="lower left")
        axes.set(
            xlim=(0, 1.01), xlabel="Share of the test images that are answered", ylabel="Accuracy of these"
        )
        axes.set_title("Accuracy against coverage")
        subtitle(axes, f"area of the error (AURC) {curve.area:.4f}")
        return save(figure, path)
