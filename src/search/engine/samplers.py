"""How Optuna proposes and prunes, for each method and pruner by name."""

import logging
import math
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import optuna
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    SuccessiveHalvingPruner,
    WilcoxonPruner,
)
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler

from src.core.seeds import derive_seed
from src.search.engine.plan import SearchPlan
from src.search.engine.records import Settings

REDUCTION = 4  # one trial in four goes on at a rung; the rungs are steps 1, 4, 16, …


def make_sampler(plan: SearchPlan, index: int) -> BaseSampler:
    """A fresh sampler for the batch with this index, seeded for it alone.

    So a proposal depends on the trials before its batch, not on how far a generator has run.
    """
    seed = derive_seed(plan.seed, "sampler", index) % 2**32
    with quiet_optuna():
        if plan.method == "tpe":
            conditional = bool(plan.space.groups) and len(plan.objectives) == 1
            return TPESampler(seed=seed, n_startup_trials=startup_trials(plan), group=conditional)
        if plan.method == "gp":
            return GPSampler(
                seed=seed, n_startup_trials=startup_trials(plan), warn_independent_sampling=False
            )
        if plan.method == "cmaes":
            return _make_cmaes(plan, seed)
        if plan.method == "nsga2":
            return NSGAIISampler(seed=seed, population_size=plan.batch)
    return RandomSampler(seed=seed)  # also for the grid, whose points are enqueued


def make_pruner(name: str, trials: int, max_steps: int) -> BasePruner:
    """The pruner of a search of this many trials, each of this many steps (the first is 1)."""
    with quiet_optuna():
        if name == "median":
            return MedianPruner(
                n_startup_trials=min(5, max(1, trials // 3)), n_warmup_steps=1 + max_steps // 5
            )
        if name == "hyperband":
            # The last bracket compares trials only after a quarter of their steps, or even at their end. It
            # saves next to nothing, and a search of a few dozen trials has none to spare for it. That leaves
            # one bracket for fewer than 16 steps, which is successive halving, and two for up to 63.
            longest = max(1, max_steps // REDUCTION)
            return HyperbandPruner(min_resource=1, max_resource=longest, reduction_factor=REDUCTION)
        if name == "successive_halving":
            return SuccessiveHalvingPruner(min_resource=1, reduction_factor=REDUCTION)
        if name == "wilcoxon":
            return WilcoxonPruner()
    return NopPruner()


def startup_trials(plan: SearchPlan) -> int:
    """Random trials before a model is fitted to them: a third, since a small search has few to spare."""
    return min(10, max(1, plan.trials // 3))


def grid_order(plan: SearchPlan) -> list[Settings]:
    """The points of the grid in random order, so that a part of them covers all of it.

    For each of ``plan.enqueue`` the first point that has those values comes before all others.
    """
    points = plan.space.points()
    random.Random(derive_seed(plan.seed, "grid")).shuffle(points)
    first: list[Settings] = []
    for wanted in plan.enqueue:
        first += [point for point in points if wanted.items() <= point.items() and point not in first][:1]
    return [*first, *(point for point in points if point not in first)][: plan.total]


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Silence Optuna's messages on progress and on experimental features; warnings still show."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # It says that GP would be a little faster with greenlet; without it a trial takes 40 ms.
    logging.getLogger("optuna._gp.batched_lbfgsb").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


def _make_cmaes(plan: SearchPlan, seed: int) -> BaseSampler:
    """A generation has at least the size of a batch, so that no trial is wasted; the default is Hansen's.

    Optuna's own benchmark (pull request 1229) favors considering pruned trials with hyperband, not with the
    median pruner.
    """
    default = 4 + math.floor(3 * math.log(len(plan.space.domains)))
    return CmaEsSampler(
        seed=seed,
        popsize=max(default, plan.batch),
        consider_pruned_trials=plan.pruner in ("hyperband", "successive_halving"),
        warn_independent_sampling=False,
    )
