"""The log of a search: which trials have ended, which are running, and which wait for one of those."""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
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

    def __init__(
        self, plan: SearchPlan, folder: Path, on_progress: Callable[[SearchProgress], None] | None = None
    ) -> None:
        self._plan = plan
        self._folder = folder
        self._on_progress = on_progress
        self._stored = read_trials(folder)  # by an earlier process; not yet proposed by this one
        self._ended: dict[int, Trial] = {}  # in the order in which they ended
        self._running: dict[int, Proposal] = {}
        self._first: dict[str, int] = {}  # settings_key -> the first trial that has them
        self._followers: dict[int, list[Proposal]] = defaultdict(list)
        self._new: list[Trial] = []

    @property
    def running(self) -> int:
        """How many trials are running."""
        return len(self._running)

    @property
    def ended(self) -> list[Trial]:
        """In the order in which they ended; those of an earlier process first."""
        return list(self._ended.values())

    def by_number(self) -> list[Trial]:
        """The trials that have ended."""
        return [self._ended[number] for number in sorted(self._ended)]

    def report(self) -> None:
        """Report the progress of the search."""
        if self._on_progress is not None:
            self._on_progress(SearchProgress(self._plan.total, tuple(self.by_number()), self.running))

    def restore(self) -> list[Trial]:
        """Take over everything that an earlier process has stored, whatever would be proposed now."""
        for trial in self._stored.values():
            self._add(trial)
        self._new.clear()
        return self.by_number()

    def take_new(self) -> list[Trial]:
        """The trials that have ended since the last call, in that order; restored ones are not new."""
        new, self._new = self._new, []
        return new

    def add(self, proposal: Proposal) -> bool:
        """Add a proposal; returns whether it has to run.

        It does not if it has run before, or if another trial has the same settings.

        Raises:
            AssayError: A file has the number of the proposal but other settings.
        """
        stored, first = self._stored.get(proposal.number), self._first.get(settings_key(proposal.settings))
        if stored is not None:
            self._add(_matching(stored, proposal, trial_path(self._folder, proposal.number)))
        elif first in self._ended:
            self._reuse(self._ended[first], proposal)
        elif first is not None:
            self._followers[first].append(proposal)
        else:
            self._first[settings_key(proposal.settings)] = proposal.number
            self._running[proposal.number] = proposal
            return True
        return False

    def finish(self, number: int, outcome: TrialResult) -> None:
        """Store the result of a trial, also for those with the same settings."""
        proposal = self._running.pop(number)
        trial = Trial(number, proposal.settings, with_finite_objectives(self._plan, outcome))
        self._store(trial)
        for follower in self._followers.pop(number, []):
            self._reuse(trial, follower)

    def _reuse(self, trial: Trial, proposal: Proposal) -> None:
        self._store(replace(trial, number=proposal.number, settings=proposal.settings, reused=trial.number))

    def _store(self, trial: Trial) -> None:
        write_trial(self._folder, trial)
        self._add(trial)

    def _add(self, trial: Trial) -> None:
        self._ended[trial.number] = trial
        self._new.append(trial)
        self._first.setdefault(settings_key(trial.settings), trial.number)


def check_not_hopeless(plan: SearchPlan, trials: Sequence[Trial]) -> None:
    """Stop a search that cannot succeed.

    Raises:
        AssayError: The first ``max_failures`` of these trials all failed.
    """
    first = [trial.outcome for trial in trials[: plan.max_failures]]
    if len(first) == plan.max_failures and all(outcome.state == "failed" for outcome in first):
        raise AssayError(
            f"the first {len(first)} trials (sweep.max_failures) all failed, the last one with: "
            f"{first[-1].reason}. Change sweep.space or the setting that this names"
        )


def _matching(stored: Trial, proposal: Proposal, path: Path) -> Trial:
    if settings_key(stored.settings) != settings_key(proposal.settings):
        raise AssayError(
            f"{path} has other settings than this search proposes as trial {proposal.number} "
            f"({stored.settings} instead of {proposal.settings}). Delete {path.parent} to start again"
        )
    return stored


def with_finite_objectives(plan: SearchPlan, outcome: TrialResult) -> TrialResult:
    """The result, which is a failure if a complete trial has no finite value of an objective."""
    values = {name: outcome.metrics.get(name, math.nan) for name in plan.objectives}
    bad = [f"{name} is {value}" for name, value in values.items() if not math.isfinite(value)]
    if outcome.state != "complete" or not bad:
        return outcome
    return replace(outcome, state="failed", reason=", ".join(bad))
