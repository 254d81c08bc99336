"""Asks Optuna for settings, and tells it what came of them: a study in memory."""

from collections.abc import Sequence

import optuna
from optuna.study import StudyDirection

from src.search.engine.frozen_trials import STATES, constraint_values, frozen_trial, objective_values
from src.search.engine.plan import SearchPlan
from src.search.engine.records import Proposal, Settings, Trial, settings_key
from src.search.engine.samplers import grid_order, make_sampler, quiet_optuna


class AskTell:
    """A study of Optuna that knows trials by the numbers of the search."""

    def __init__(self, plan: SearchPlan, ended: Sequence[Trial] = (), begun: Sequence[Proposal] = ()) -> None:
        """``ended`` and ``begun``: what an earlier process has left, in a search that is not replayed."""
        self._plan = plan
        self._objectives = list(plan.objectives)
        self._running: dict[int, optuna.Trial] = {}
        directions = [StudyDirection[way.upper()] for way in plan.objectives.values()]
        with quiet_optuna():
            self._study = optuna.create_study(
                study_name=plan.name, directions=directions, sampler=make_sampler(plan, 0)
            )
        for trial in ended:
            self._study.add_trial(frozen_trial(plan, trial, self._objectives))
        for proposal in begun:
            self._queue(proposal.settings)
            self.ask(proposal.number)
        if plan.method == "grid":
            self._queue_grid([trial.settings for trial in ended] + [proposal.settings for proposal in begun])

    def reseed(self, index: int) -> None:
        """A new sampler, which depends on the seed and ``index`` only, for what is asked from now on."""
        self._study.sampler = make_sampler(self._plan, index)

    def ask(self, number: int) -> Proposal:
        """Settings for the trial with this number."""
        trial = self._study.ask()
        self._running[number] = trial
        return Proposal(number, self._plan.space.suggest(trial))

    def tell(self, trial: Trial) -> None:
        """What came of a proposal."""
        asked = self._running.pop(trial.number)
        if len(self._objectives) == 1:
            for step, value in trial.outcome.steps.items():
                asked.report(value, step)
        for constraint, excess in constraint_values(self._plan, trial).items():
            asked.set_constraint(constraint, excess)
        state = STATES[trial.outcome.state]
        self._study.tell(asked, objective_values(trial, self._objectives), state)

    def _queue(self, settings: Settings) -> None:
        self._study.enqueue_trial(self._plan.space.encode(settings))

    def _queue_grid(self, done: Sequence[Settings]) -> None:
        known = {settings_key(settings) for settings in done}
        for point in grid_order(self._plan):
            if settings_key(point) not in known:
                self._queue(point)
