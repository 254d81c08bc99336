"""The plan of a search, as the configuration asks for it."""

from typing import TYPE_CHECKING

from src.search.plan import Plan

if TYPE_CHECKING:
    from src.candidates import Candidates


def make_plan(candidates: "Candidates", seed: int) -> Plan:
    """What is searched, and how."""
    config = candidates.loaded.config
    sweep = config.sweep
    return Plan(
        name=f"{config.model.kind}-{sweep.method}-{config.seed}",
        method=sweep.method,
        space=candidates.space,
        trials=sweep.trials,
        batch=sweep.batch,
        pruner=sweep.pruner,
        objectives={str(figure): way for figure, way in sweep.objectives.items()},
        constraints=tuple(sweep.constraints),
        seed=seed,
        max_failures=sweep.max_failures,
        max_steps=sweep.folds or candidates.longest(),
    )
