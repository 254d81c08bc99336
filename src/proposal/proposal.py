"""From the findings to settings with reasons: the data, the machine, what to try, what to deploy.

What are the data like, what does the machine allow, what is worth trying, what will be deployed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from src.config.schema import Config
from src.core.errors import AssayError
from src.proposal import findings
from src.proposal.available_weights import Weights
from src.proposal.candidates import Candidate, augmentation, list_candidates
from src.proposal.data_settings import (
    FOLDS,
    data_settings,
    describe_split,
    describe_untested,
    split_settings,
)
from src.proposal.deployment import deployment, doubt_margin
from src.proposal.goals import Goal, describe_goal, goal_settings, refuse_unknown_class
from src.proposal.inspection import Inspection
from src.proposal.machine import Machine
from src.proposal.planning import Plan, plan
from src.proposal.setting import Setting
from src.proposal.timing import StepTimes, measure

MEASURED = 2.0  # seconds for each candidate
FEW = 100  # images of a class (median), below which all of a network overfits sooner than its head

Compose = Callable[[Sequence[str]], Config]


@dataclass(frozen=True)
class Proposal:
    """What to write down, and why.

    Attributes:
        name: of the data set and of the experiment.
        source: choice of group ``data`` that the data's file builds on.
        data: settings of conf/data/NAME.yaml.
        groups: choices of conf/experiment/NAME.yaml.
        settings: values of it.
        steps: (title, sentences) of the four steps.
        weights: to be copied to data/weights; None: none are needed.
    """

    name: str
    source: str
    data: list[Setting]
    groups: list[Setting]
    settings: list[Setting]
    steps: list[tuple[str, list[str]]]
    weights: Weights | None


def propose(
    found: Inspection,
    machine: Machine,
    weights: Weights | None,
    *,
    name: str,
    goal: Goal,
    minutes: float,
    compose: Compose,
) -> Proposal:
    """Measure two or three candidates on this machine, choose one, and settle everything else.

    Args:
        weights: pretrained weights within reach.
        minutes: budget of the final training on this machine.
        compose: overrides -> checked configuration.
    """
    split, untested = split_settings(found)
    tested = [label for label in found.listing.classes if label not in untested]
    refuse_unknown_class(goal, found.listing.classes, tested)
    candidates = list_candidates(found, weights, small=goal.name == "size")
    plans = [_plan(candidate, found, name, minutes, compose) for candidate in candidates]
    chosen, why = choose(plans, found, goal)
    pretrained, head_only = chosen.candidate.way != "scratch", chosen.candidate.way == "head"
    register, deployed = deployment(found, goal)
    for_goal = goal_settings(goal, head_only, found.validation_images)
    about_goal = describe_goal(goal, head_only, found.validation_images)
    about_weights = _about_weights(weights, candidates)
    return Proposal(
        name=name,
        source="csv" if found.source == "csv" else "image_folder",
        data=data_settings(found, name, chosen.image_size),
        groups=_groups(found, chosen),
        settings=[
            *split,
            *_training(chosen, minutes),
            *for_goal,
            *_validation(chosen),
            *register,
        ],
        steps=[
            ("The data", [*findings.facts(found), *describe_untested(untested)]),
            ("Doubts", [*findings.doubts(found), *doubt_margin(found)]),
            ("The machine", [*machine.describe(), *map(_measured, plans)]),
            (
                "What to try",
                [
                    about_weights,
                    why,
                    *filter(None, [about_goal]),
                    *describe_split(split),
                    _budget(chosen, minutes),
                ],
            ),
            ("What to deploy", deployed),
        ],
        weights=weights if pretrained else None,
    )


def _plan(candidate: Candidate, found: Inspection, name: str, minutes: float, compose: Compose) -> Plan:
    config = compose([*_base(found, name), *candidate.overrides()])
    times: StepTimes = measure(
        config, found.images[:, : found.channels], len(found.listing.classes), MEASURED
    )
    return plan(candidate, times, found, minutes * 60)


def _base(found: Inspection, name: str) -> list[str]:
    """Overrides under which candidates are measured: the data as they were decoded."""
    height, width = found.image_size
    return [
        "experiment=null",
        "data=image_folder",
        f"data.name={name}",
        f"data.image_size=[{height},{width}]",
        f"data.channels={found.channels}",
    ]


def choose(plans: Sequence[Plan], found: Inspection, goal: Goal) -> tuple[Plan, str]:
    """The plan for this goal, and the reason in a sentence.

    Raises:
        AssayError: none fits into the budget.
    """
    fitting = {each.candidate.way: each for each in reversed(plans) if each.fits}
    if not fitting:
        needed = min(
            each.seconds * each.candidate.least_epochs / (each.epochs or each.candidate.epochs)
            for each in plans
        )
        raise AssayError(
            f"no training fits into the budget; the quickest needs about {np.ceil(needed / 60):.0f} minutes: "
            "raise --minutes, or take fewer images"
        )
    if goal.name == "size":
        return _smallest(list(fitting.values()))
    if goal.name == "speed":
        return _fastest(list(fitting.values()))
    typical = int(np.median([*found.counts.values()]))
    if "all" in fitting and typical >= FEW:
        return fitting["all"], (
            f"With about {typical:,} images of a class it pays to train all pretrained weights, and there is "
            "time for it."
        )
    if "head" in fitting and typical < FEW:
        return fitting["head"], (
            f"With about {typical:,} images of a class the pretrained layers stay as they are, and only the "
            "head is trained: millions of weights would memorize so few images. The features of every image "
            "are computed once."
        )
    if "head" in fitting:
        return fitting["head"], (
            "Training all weights does not fit into the budget, so only the head is trained, on features "
            "that are computed once; a larger --minutes allows more."
        )
    return fitting[
        "scratch"
    ], "A network of this size suits these images, and is trained from random weights."


def _smallest(plans: Sequence[Plan]) -> tuple[Plan, str]:
    best = min(plans, key=lambda each: each.times.parameters)
    return best, (
        f"The goal is size, so the network with the fewest parameters ({best.times.parameters:,}) is taken; "
        "with --goal accuracy it may be larger and better."
    )


def _fastest(plans: Sequence[Plan]) -> tuple[Plan, str]:
    def latency(each: Plan) -> float:
        return each.times.inference * each.image_size[0] * each.image_size[1]

    return min(plans, key=latency), (
        "The goal is speed, so the network is taken that answers fastest here; with --goal accuracy it may "
        "be slower and better."
    )


def _about_weights(weights: Weights | None, candidates: Sequence[Candidate]) -> str:
    if weights is None:
        return (
            "Pretrained weights are not in data/weights, and the Hugging Face hub does not answer, so a "
            "network is trained from random weights. If you have a file with weights: python -m src.fetch "
            "tf_efficientnet_lite0 --from FILE, then start again."
        )
    if all(candidate.way == "scratch" for candidate in candidates):
        return (
            f"ImageNet weights of {weights.model} are available ({weights.place}), but images as small as "
            "these show too little of what such a network looks for."
        )
    return f"ImageNet weights of {weights.model} come from {weights.place}."


def _measured(each: Plan) -> str:
    times, (height, width) = each.times, each.image_size
    epochs = each.epochs or each.candidate.epochs
    fits = "" if each.fits else ", which does not fit into the budget"
    return (
        f"{each.candidate.title}: {_milliseconds(times.training)} an image in training and "
        f"{_milliseconds(times.inference)} in inference; {times.parameters:,} parameters. At {height} × "
        f"{width} pixels {epochs} epochs take about {_duration(each.seconds)}{fits}."
    )


def _budget(chosen: Plan, minutes: float) -> str:
    height, width = chosen.image_size
    return (
        f"{chosen.epochs} epochs at {height} × {width} pixels take about {_duration(chosen.seconds)} here, "
        f"of the {minutes:g} min that you allow. The other stages come on top: cross-validation trains "
        f"{FOLDS} more times."
    )


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms" if seconds >= 0.01 else f"{1000 * seconds:.2g} ms"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _groups(found: Inspection, chosen: Plan) -> list[Setting]:
    groups = chosen.candidate.groups
    why = {
        "model": chosen.candidate.title,
        "normalize": "as the weights were trained" if groups["normalize"] == "pretrained" else "",
        "augment": "features are computed once" if groups["augment"] == "none" else augmentation(found)[1],
    }
    return [
        *(Setting(group, choice, why.get(group, "")) for group, choice in groups.items()),
        Setting("sweep", "none", "search later: dvc exp run -S sweep=default"),
        Setting("compress", "int8", "the network as it is, and with int8 weights"),
    ]


def _training(chosen: Plan, minutes: float) -> list[Setting]:
    candidate = chosen.candidate
    values = [Setting(key, value) for key, value in candidate.values.items()]
    shorter = "" if chosen.epochs == candidate.epochs else f"more do not fit into {minutes:g} min here"
    return [*values, Setting("train.epochs", chosen.epochs, shorter)]


def _validation(chosen: Plan) -> list[Setting]:
    """Folds are trained for a shorter time, unless a training costs next to nothing."""
    if chosen.candidate.way == "head":
        return []
    epochs = max(2, chosen.epochs // 3)
    return [Setting("cross_validate.proxy", {"train.epochs": epochs}, "shorter than the final training")]
