"""Stopping unpromising trials, by what earlier trials did and never by what runs at the same time.

A trial in a worker process gets a :class:`PrunerSpec`: its number, and what there is to compare with. From
it the worker makes a study of its own, in memory, in which every trial has the number that it has in the
search; Optuna's pruners then decide as they would in one process.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from src.search.engine.constraints import violations
from src.search.engine.plan import SearchPlan
from src.search.engine.records import Trial

if TYPE_CHECKING:
    import optuna


class Pruning(Protocol):
    """The pruner of one trial at work."""

    pruner_state: dict[str, float]  # what later trials have to know of this one

    def report(self, step: int, value: float) -> bool:
        """Whether to stop after this step (1, 2, …), which gave the objective this value."""
        ...


@dataclass(frozen=True)
class EarlierTrial:
    """What a pruner may know of an earlier trial."""

    number: int
    state: str  # complete or pruned
    value: float | None  # of the objective, if complete
    steps: dict[int, float]
    pruner_state: dict[str, float]
    excesses: dict[str, float]  # over each constraint


@dataclass(frozen=True)
class PrunerSpec:
    """All that decides whether a trial is stopped, beside its own course; plain values, to be sent."""

    number: int
    study: str
    pruner: str
    direction: str
    trials: int
    max_steps: int
    earlier: tuple[EarlierTrial, ...]

    def begin(self) -> Pruning:
        """The pruner for a trial that starts at step 1, also where it goes on after a kill."""
        return _NoPruning() if self.pruner == "none" else _StudyPruning(self)


def past_of(plan: SearchPlan, trials: Sequence[Trial]) -> tuple[EarlierTrial, ...]:
    """What the rules of a batch share. Nothing without a pruner; reused outcomes count once, failed not."""
    if plan.pruner == "none":
        return ()
    return tuple(
        _past(plan, trial) for trial in trials if trial.reused is None and trial.outcome.state != "failed"
    )


def make_rule(plan: SearchPlan, number: int, earlier: tuple[EarlierTrial, ...]) -> PrunerSpec:
    """The rule of the trial with this number."""
    direction = next(iter(plan.objectives.values()))
    return PrunerSpec(number, plan.name, plan.pruner, direction, plan.trials, plan.max_steps, earlier)


class _NoPruning:
    def __init__(self) -> None:
        self.pruner_state: dict[str, float] = {}

    def report(self, step: int, value: float) -> bool:
        return False


class _StudyPruning:
    """Asks Optuna's pruner in a study that holds the earlier trials."""

    def __init__(self, rule: PrunerSpec) -> None:
        self.pruner_state: dict[str, float] = {}
        self._max_steps = rule.max_steps
        self._study = _make_study(rule)
        self._trial = self._study.ask()
        assert self._trial.number == rule.number

    def report(self, step: int, value: float) -> bool:
        """Nothing is saved by stopping after the last step, so that it never does."""
        self._trial.report(value, step)
        stop = self._trial.should_prune()
        self.pruner_state = dict(self._study.get_trials(deepcopy=False)[self._trial.number].system_attrs)
        return stop and step < self._max_steps


def _past(plan: SearchPlan, trial: Trial) -> EarlierTrial:
    outcome = trial.outcome
    complete = outcome.state == "complete"
    value = outcome.metrics[next(iter(plan.objectives))] if complete else None
    over = violations(outcome.metrics, plan.constraints) if complete else {}
    return EarlierTrial(trial.number, outcome.state, value, outcome.steps, outcome.pruner_state, over)


def _make_study(rule: PrunerSpec) -> "optuna.Study":
    """Every number up to the last is taken: by an earlier trial, by this one (which waits to be asked for),
    or by one that this one must not know of (which looks failed)."""
    import optuna
    from optuna.trial import TrialState, create_trial

    from src.search.engine.samplers import make_pruner, quiet_optuna

    with quiet_optuna():
        study = optuna.create_study(
            study_name=rule.study,
            direction=optuna.study.StudyDirection[rule.direction.upper()],
            sampler=optuna.samplers.RandomSampler(),
            pruner=make_pruner(rule.pruner, rule.trials, rule.max_steps),
        )
    earlier = {past.number: past for past in rule.earlier}
    for number in range(1 + max([rule.number, *earlier])):
        if number == rule.number:
            study.add_trial(create_trial(state=TrialState.WAITING))
        else:
            study.add_trial(_frozen(earlier.get(number)))
    return study


def _frozen(past: EarlierTrial | None) -> "optuna.trial.FrozenTrial":
    from optuna.trial import TrialState, create_trial

    if past is None:
        return create_trial(state=TrialState.FAIL)
    return create_trial(
        state=TrialState.COMPLETE if past.state == "complete" else TrialState.PRUNED,
        value=past.value,
        intermediate_values=past.steps,
        system_attrs=dict(past.pruner_state),
        constraints=past.excesses,
    )
