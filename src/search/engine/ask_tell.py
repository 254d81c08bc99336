"""Asks Optuna for settings and tells it the results: a study in memory."""

from collections.abc import Sequence

import optuna
from optuna.study import StudyDirection

from src.search.engine.frozen_trials import STATES, constraint_values, frozen_trial, objective_values
from src.search.engine.plan import SearchPlan
from src.search.engine.records import Proposal, Settings, Trial, settings_key
from src.search.engine.samplers import grid_order, make_sampler, quiet_optuna


class AskTell:
    """A study of Optuna that knows trials by their numbers in the search."""

    def __init__(self, plan: SearchPlan, ended: Sequence[Trial] = (), begun: Sequence[Proposal] = ()) -> None:
        """
        Args:
            plan: The search.
            ended: Trials that an earlier process finished, if the search is not replayed.
            begun: Trials that it had started, if the search is not replayed.
        """
        self._plan = plan
        self._objectives = list(plan.objectives)
        self._running: dict[int, optuna.Trial] = {}
        directions = [StudyDirection[direction.upper()] for direction in plan.objectives.values()]
        with quiet_optuna():
            self._study = optuna.create_study(
                study_name=plan.name, directions=directions, sampler=make_sampler(plan, 0)
            )
        for trial in ended:
            self._study.add_trial(frozen_trial(plan, trial, self._objectives))
        for proposal in begun:
            self._enqueue(proposal.settings)
            self.ask(proposal.number)
        self._enqueue_first([*ended, *begun])

    def reseed(self, index: int) -> None:
        """Use a new sampler from now on, which depends only on the seed and ``index``."""
        self._study.sampler = make_sampler(self._plan, index)

    def ask(self, number: int) -> Proposal:
        """Settings for the trial with this number."""
        trial = self._study.ask()
        self._running[number] = trial
        return Proposal(number, self._plan.space.suggest(trial))

    def tell(self, trial: Trial) -> None:
        """Pass on the result of a proposal."""
        asked = self._running.pop(trial.number)
        if len(self._objectives) == 1:
            for step, value in trial.outcome.steps.items():
                asked.report(value, step)
        for constraint, violation in constraint_values(self._plan, trial).items():
            asked.set_constraint(constraint, violation)
        state = STATES[trial.outcome.state]
        self._study.tell(asked, objective_values(trial, self._objectives), state)

    def _enqueue(self, settings: Settings) -> None:
        self._study.enqueue_trial(self._plan.space.encode(settings))

    def _enqueue_first(self, known: Sequence[Trial | Proposal]) -> None:
        """What is tried before anything is sampled: the points of a grid, or the plan's own settings."""
        if self._plan.method == "grid":
            done = {settings_key(item.settings) for item in known}
            waiting = [point for point in grid_order(self._plan) if settings_key(point) not in done]
        else:
            numbers = {item.number for item in known}
            waiting = [item for number, item in enumerate(self._plan.enqueue) if number not in numbers]
        for settings in waiting:
            self._enqueue(settings)
