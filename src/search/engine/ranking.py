"""Which trials are best, and which fields mattered."""

import math
import warnings
from collections.abc import Mapping, Sequence

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

from src.core.errors import AssayError
from src.core.pareto import pareto_mask
from src.search.engine.constraints import feasible
from src.search.engine.frozen_trials import frozen_trial
from src.search.engine.plan import SearchPlan
from src.search.engine.records import Trial
from src.search.engine.samplers import quiet_optuna

FEWEST = 4  # complete trials needed to say anything about importance
GOOD = 0.5  # share of the trials that counts as good; Optuna's default, a tenth, would leave too few


def best(trials: Sequence[Trial], objectives: Mapping[str, str], constraints: Sequence[str]) -> Trial:
    """The best complete trial that satisfies the constraints.

    By the first objective, then by the others, then by the lower val/loss, then the first.

    Raises:
        AssayError: There is none; says why.
    """
    candidates = _feasible(trials, objectives, constraints)
    if not candidates:
        raise AssayError(_why_none(trials, constraints))
    return min(candidates, key=lambda trial: _order(trial, objectives))


def ranked(trials: Sequence[Trial], plan: SearchPlan) -> list[Trial]:
    """The complete trials that satisfy the constraints, best first, without reused results.

    With several objectives the Pareto front comes first.
    """
    candidates = _feasible(trials, plan.objectives, plan.constraints)
    front = {trial.number for trial in _undominated(candidates, plan.objectives)}
    by_value = sorted(candidates, key=lambda trial: _order(trial, plan.objectives))
    return sorted(by_value, key=lambda trial: trial.number not in front)


def pareto_front(trials: Sequence[Trial], plan: SearchPlan) -> list[Trial]:
    """The trials that no other trial dominates, by the first objective."""
    candidates = _feasible(trials, plan.objectives, plan.constraints)
    return sorted(
        _undominated(candidates, plan.objectives), key=lambda trial: _losses(trial, plan.objectives)
    )


def importance(trials: Sequence[Trial], plan: SearchPlan) -> dict[str, float]:
    """How much each field decides whether a trial is in the better half by the first objective.

    By PED-ANOVA (Watanabe et al., 2023).

    Returns:
        field -> share, largest first; the sum is 1. Empty if there are too few trials, or all are equal.
    """
    name, direction = next(iter(plan.objectives.items()))
    complete = [trial for trial in _finite(trials, [name]) if trial.reused is None]
    values = {trial.outcome.metrics[name] for trial in complete}
    fields = [field for field in plan.space.domains if _varies(field, complete)]
    if len(complete) < FEWEST or len(values) == 1 or not fields:
        return {}
    shares = _ped_anova(complete, plan, name, direction, fields)
    total = math.fsum(shares.values())
    if not (math.isfinite(total) and total > 0):
        return {}
    return {
        field: shares[field] / total for field in sorted(fields, key=lambda field: (-shares[field], field))
    }


def _finite(trials: Sequence[Trial], objectives: Sequence[str] | Mapping[str, str]) -> list[Trial]:
    """The complete trials with a finite value of each objective."""
    return [
        trial
        for trial in trials
        if trial.outcome.state == "complete"
        and all(math.isfinite(trial.outcome.metrics.get(name, math.nan)) for name in objectives)
    ]


def _feasible(
    trials: Sequence[Trial], objectives: Mapping[str, str], constraints: Sequence[str]
) -> list[Trial]:
    return [
        trial
        for trial in _finite(trials, objectives)
        if trial.reused is None and feasible(trial.outcome.metrics, constraints)
    ]


def _why_none(trials: Sequence[Trial], constraints: Sequence[str]) -> str:
    complete = [trial for trial in trials if trial.outcome.state == "complete"]
    if complete:
        return (
            f"the search has {len(complete)} complete trials, but none satisfies {', '.join(constraints)}: "
            "relax sweep.constraints, or add smaller choices to sweep.space"
        )
    ends = [trial.outcome for trial in trials if trial.outcome.state == "failed"]
    reason = f". The last failure: {ends[-1].reason}" if ends else ""
    count = f"{len(ends)} of {len(trials)} failed, the others were pruned"
    return f"the search has no complete trial: {count}{reason}"


def _order(trial: Trial, objectives: Mapping[str, str]) -> tuple[tuple[float, ...], float, int]:
    return _losses(trial, objectives), trial.outcome.metrics.get("val/loss", math.inf), trial.number


def _losses(trial: Trial, objectives: Mapping[str, str]) -> tuple[float, ...]:
    """The objectives in their order, signed so that less is better."""
    metrics = trial.outcome.metrics
    return tuple(
        metrics[name] if direction == "minimize" else -metrics[name] for name, direction in objectives.items()
    )


def _undominated(trials: Sequence[Trial], objectives: Mapping[str, str]) -> list[Trial]:
    on_front = pareto_mask([_losses(trial, objectives) for trial in trials])
    return [trial for trial, unbeaten in zip(trials, on_front, strict=True) if unbeaten]


def _varies(field: str, trials: Sequence[Trial]) -> bool:
    values = [trial.settings[field] for trial in trials if field in trial.settings]
    return any(value != values[0] for value in values)


def _ped_anova(
    trials: Sequence[Trial], plan: SearchPlan, name: str, direction: str, fields: list[str]
) -> dict[str, float]:
    with quiet_optuna(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Some regimes|Target and region")  # of small searches
        study = optuna.create_study(direction=optuna.study.StudyDirection[direction.upper()])
        study.add_trials(frozen_trial(plan, trial, [name]) for trial in trials)
        evaluator = PedAnovaImportanceEvaluator(target_quantile=GOOD)
        return get_param_importances(study, evaluator=evaluator, params=fields, normalize=False)
