"""Stops unpromising trials, judged by earlier trials and never by those that run at the same time.

A trial in a worker process gets a :class:`PrunerSpec`: its number, and the trials to compare it with. From
that the worker makes a study of its own in memory, in which every trial has its number in the search;
Optuna's pruners then decide as they would in a single process.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from src.search.engine.constraints import violations
from src.search.engine.plan import SearchPlan
from src.search.engine.records import Trial
from src.search.engine.samplers import make_pruner, quiet_optuna


class Pruning(Protocol):
    """Pruning of one trial while it runs."""

    pruner_state: dict[str, float]  # what later trials need to know of this one

    def report(self, step: int, value: float) -> bool:
        """Whether to stop after this step (1, 2, …), at which the objective had this value."""
        ...


@dataclass(frozen=True)
class EarlierTrial:
    """What a pruner may know of an earlier trial."""

    number: int
    state: str  # complete or pruned
    value: float | None  # of the objective, if complete
    steps: dict[int, float]
    pruner_state: dict[str, float]
    violations: dict[str, float]  # of each constraint, as a share of its bound


@dataclass(frozen=True)
class PrunerSpec:
    """Everything beside its own course that decides whether a trial is stopped; plain values, to be sent."""

    number: int
    study: str
    pruner: str
    direction: str
    trials: int
    max_steps: int
    earlier: tuple[EarlierTrial, ...]

    def begin(self) -> Pruning:
        """The pruner for a trial that starts at step 1, also where it resumes after a kill."""
        return _NoPruning() if self.pruner == "none" else _StudyPruning(self)


def earlier_trials(plan: SearchPlan, trials: Sequence[Trial]) -> tuple[EarlierTrial, ...]:
    """What the pruners of a batch compare with; nothing without a pruner.

    Reused results count once, failed trials not at all.
    """
    if plan.pruner == "none":
        return ()
    return tuple(
        _earlier_trial(plan, trial)
        for trial in trials
        if trial.reused is None and trial.outcome.state != "failed"
    )


def make_pruner_spec(plan: SearchPlan, number: int, earlier: tuple[EarlierTrial, ...]) -> PrunerSpec:
    """The pruner of the trial with this number."""
    direction = next(iter(plan.objectives.values()))
    return PrunerSpec(number, plan.name, plan.pruner, direction, plan.trials, plan.max_steps, earlier)


class _NoPruning:
    def __init__(self) -> None:
        self.pruner_state: dict[str, float] = {}

    def report(self, step: int, value: float) -> bool:
        return False


class _StudyPruning:
    """Asks Optuna's pruner in a study that holds the earlier trials."""

    def __init__(self, spec: PrunerSpec) -> None:
        self.pruner_state: dict[str, float] = {}
        self._max_steps = spec.max_steps
        self._study = _make_study(spec)
        self._trial = self._study.ask()
        assert self._trial.number == spec.number

    def report(self, step: int, value: float) -> bool:
        """Never stops after the last step, where nothing is left to save."""
        self._trial.report(value, step)
        stop = self._trial.should_prune()
        self.pruner_state = dict(self._study.get_trials(deepcopy=False)[self._trial.number].system_attrs)
        return stop and step < self._max_steps


def _earlier_trial(plan: SearchPlan, trial: Trial) -> EarlierTrial:
    outcome = trial.outcome
    complete = outcome.state == "complete"
    value = outcome.metrics[next(iter(plan.objectives))] if complete else None
    violated = violations(outcome.metrics, plan.constraints) if complete else {}
    return EarlierTrial(trial.number, outcome.state, value, outcome.steps, outcome.pruner_state, violated)


def _make_study(spec: PrunerSpec) -> optuna.Study:
    """A study in which each number up to the last is taken.

    By an earlier trial, by this one (which waits to be asked for), or by one that this one must not know of
    (which looks failed).
    """
    with quiet_optuna():
        study = optuna.create_study(
            study_name=spec.study,
            direction=optuna.study.StudyDirection[spec.direction.upper()],
            sampler=optuna.samplers.RandomSampler(),
            pruner=make_pruner(spec.pruner, spec.trials, spec.max_steps),
        )
    earlier = {trial.number: trial for trial in spec.earlier}
    for number in range(1 + max([spec.number, *earlier])):
        if number == spec.number:
            study.add_trial(create_trial(state=TrialState.WAITING))
        else:
            study.add_trial(_frozen(earlier.get(number)))
    return study


def _frozen(trial: EarlierTrial | None) -> FrozenTrial:
    if trial is None:
        return create_trial(state=TrialState.FAIL)
    return create_trial(
        state=TrialState.COMPLETE if trial.state == "complete" else TrialState.PRUNED,
        value=trial.value,
        intermediate_values=trial.steps,
        system_attrs=dict(trial.pruner_state),
        constraints=trial.violations,
    )
