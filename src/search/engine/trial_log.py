"""The book of a search: which trials have ended, which are under way, and which wait for one of those."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from src.core.errors import AssayError
from src.search.engine.plan import SearchPlan
from src.search.engine.records import (
    Proposal,
    Trial,
    TrialResult,
    read_trials,
    settings_key,
    trial_path,
    write_trial,
)


@dataclass(frozen=True)
class SearchProgress:
    """How far a search is."""

    total: int
    trials: tuple[Trial, ...]  # those that have ended, by number
    running: int


class TrialLog:
    """Keeps each trial in a file of ``folder`` as soon as it has ended."""

    def __init__(self, plan: SearchPlan, folder: Path) -> None:
        self._plan = plan
        self._folder = folder
        self._kept = read_trials(folder)  # of an earlier process, not yet proposed by this one
        self._ended: dict[int, Trial] = {}  # in the order in which they ended
        self._running: dict[int, Proposal] = {}
        self._first: dict[str, int] = {}  # identity of settings -> the first trial that has them
        self._followers: dict[int, list[Proposal]] = defaultdict(list)
        self._new: list[Trial] = []

    @property
    def running(self) -> int:
        """How many trials are under way."""
        return len(self._running)

    @property
    def ended(self) -> list[Trial]:
        """In the order in which they ended; those of an earlier process first."""
        return list(self._ended.values())

    def by_number(self) -> list[Trial]:
        """The trials that have ended."""
        return [self._ended[number] for number in sorted(self._ended)]

    def standing(self) -> SearchProgress:
        """For whoever looks on."""
        return SearchProgress(self._plan.total, tuple(self.by_number()), self.running)

    def restore(self) -> list[Trial]:
        """Take over all that an earlier process has kept, whatever would be proposed now."""
        for trial in self._kept.values():
            self._add(trial)
        self._new.clear()
        return self.by_number()

    def take_new(self) -> list[Trial]:
        """The trials that have ended since the last call, as they ended; restored ones are not new."""
        new, self._new = self._new, []
        return new

    def admit(self, proposal: Proposal) -> bool:
        """Whether the proposal has to be evaluated. It has not if it was, or if its settings were or will be.

        Raises:
            AssayError: a file has the number of the proposal but other settings.
        """
        kept, first = self._kept.get(proposal.number), self._first.get(settings_key(proposal.settings))
        if kept is not None:
            self._add(_matching(kept, proposal, trial_path(self._folder, proposal.number)))
        elif first in self._ended:
            self._reuse(self._ended[first], proposal)
        elif first is not None:
            self._followers[first].append(proposal)
        else:
            self._first[settings_key(proposal.settings)] = proposal.number
            self._running[proposal.number] = proposal
            return True
        return False

    def end(self, number: int, outcome: TrialResult) -> None:
        """Note what came of a trial, and of those with the same settings."""
        proposal = self._running.pop(number)
        trial = Trial(number, proposal.settings, with_finite_objectives(self._plan, outcome))
        self._keep(trial)
        for follower in self._followers.pop(number, []):
            self._reuse(trial, follower)

    def _reuse(self, trial: Trial, proposal: Proposal) -> None:
        self._keep(replace(trial, number=proposal.number, settings=proposal.settings, reused=trial.number))

    def _keep(self, trial: Trial) -> None:
        write_trial(self._folder, trial)
        self._add(trial)

    def _add(self, trial: Trial) -> None:
        self._ended[trial.number] = trial
        self._new.append(trial)
        self._first.setdefault(settings_key(trial.settings), trial.number)


def refuse_hopeless(plan: SearchPlan, trials: Sequence[Trial]) -> None:
    """
    Raises:
        AssayError: the first ``max_failures`` of these trials have all failed.
    """
    first = [trial.outcome for trial in trials[: plan.max_failures]]
    if len(first) == plan.max_failures and all(outcome.state == "failed" for outcome in first):
        raise AssayError(
            f"the first {len(first)} trials (sweep.max_failures) have all failed, the last of them with: "
            f"{first[-1].reason}. Change sweep.space or what the reason names"
        )


def _matching(kept: Trial, proposal: Proposal, path: Path) -> Trial:
    if settings_key(kept.settings) != settings_key(proposal.settings):
        raise AssayError(
            f"{path} has other settings than this search proposes as trial {proposal.number} "
            f"({kept.settings} instead of {proposal.settings}). Delete {path.parent}: the search begins anew"
        )
    return kept


def with_finite_objectives(plan: SearchPlan, outcome: TrialResult) -> TrialResult:
    """A complete trial that has no number for an objective has failed."""
    values = {name: outcome.metrics.get(name, math.nan) for name in plan.objectives}
    bad = [f"{name} is {value}" for name, value in values.items() if not math.isfinite(value)]
    if outcome.state != "complete" or not bad:
        return outcome
    return replace(outcome, state="failed", reason=", ".join(bad))
