"""Finished trials as Optuna stores them."""

from collections.abc import Sequence

from optuna.trial import FixedTrial, FrozenTrial, TrialState, create_trial

from src.search.engine.constraints import violations
from src.search.engine.plan import SearchPlan
from src.search.engine.records import Trial

STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


def frozen_trial(plan: SearchPlan, trial: Trial, objectives: Sequence[str]) -> FrozenTrial:
    """The trial for a study with these objectives, in this order."""
    outcome = trial.outcome
    fixed = FixedTrial(plan.space.encode(trial.settings))
    plan.space.suggest(fixed)  # records the distribution of each value
    return create_trial(
        state=STATES[outcome.state],
        values=objective_values(trial, objectives),
        params=fixed.params,
        distributions=fixed.distributions,
        intermediate_values=outcome.steps if len(objectives) == 1 else None,
        constraints=constraint_values(plan, trial),
    )


def objective_values(trial: Trial, objectives: Sequence[str]) -> list[float] | None:
    """In this order; None for a trial that is not complete."""
    outcome = trial.outcome
    return [outcome.metrics[name] for name in objectives] if outcome.state == "complete" else None


def constraint_values(plan: SearchPlan, trial: Trial) -> dict[str, float]:
    """How far a complete trial violates each constraint; empty for CMA-ES, which cannot use them."""
    if trial.outcome.state != "complete" or plan.method == "cmaes":
        return {}
    return violations(trial.outcome.metrics, plan.constraints)
