"""The trial table of a shared study: attempts at the same trial count as one trial."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from optuna.trial import FrozenTrial, TrialState

from src.search.distributed.storage import OUTCOME
from src.search.engine.plan import SearchPlan
from src.search.engine.records import Settings, Trial, TrialResult, settings_key

SURPLUS, REUSED = "surplus", "reused"  # attributes of a trial
UNDER_WAY = (TrialState.RUNNING, TrialState.WAITING)


@dataclass(frozen=True)
class TrialAttempts:
    """A trial with all attempts at it, the first of which gives it its number."""

    number: int
    attempts: tuple[FrozenTrial, ...]
    retries: int

    @property
    def state(self) -> Literal["ended", "under way", "lost", "given up"]:
        """``lost``: its worker died, and nobody has queued it again yet."""
        if self.kept() is not None:
            return "ended"
        if any(attempt.state in UNDER_WAY for attempt in self.attempts):
            return "under way"
        if any(SURPLUS in attempt.user_attrs for attempt in self.attempts):
            return "given up"
        return "ended" if len(self.attempts) > self.retries else "lost"

    def kept(self) -> FrozenTrial | None:
        """The attempt that has an outcome and has ended."""
        done = [a for a in self.attempts if OUTCOME in a.user_attrs and a.state not in UNDER_WAY]
        return done[0] if done else None

    def outcome(self) -> TrialResult:
        """The outcome of a trial that has ended."""
        kept = self.kept()
        if kept is not None:
            return outcome_from_json(kept.user_attrs[OUTCOME])
        times = "once" if len(self.attempts) == 1 else f"{len(self.attempts)} times"
        return TrialResult("failed", reason=f"its worker died, {times}")

    def trial(self, plan: SearchPlan) -> Trial:
        """As the rest of the search knows it."""
        attempt = self.kept() or self.attempts[-1]
        return Trial(self.number, _settings(plan, attempt), self.outcome(), attempt.user_attrs.get(REUSED))


class TrialTable:
    """All trials of a study at one moment."""

    def __init__(self, plan: SearchPlan, retries: int, trials: Iterable[FrozenTrial]) -> None:
        self.plan = plan
        together: dict[int, list[FrozenTrial]] = {}
        for trial in trials:
            together.setdefault(first_number(trial), []).append(trial)
        entries = [TrialAttempts(number, tuple(together[number]), retries) for number in sorted(together)]
        self.entries = [entry for entry in entries if entry.state != "given up"]

    def of(self, state: str) -> list[TrialAttempts]:
        """The entries in this state, by number."""
        return [entry for entry in self.entries if entry.state == state]

    def ended(self) -> list[Trial]:
        """The trials that have ended, with their own numbers."""
        return [entry.trial(self.plan) for entry in self.of("ended")]

    def waiting(self) -> bool:
        """Whether a trial is queued."""
        return any(a.state == TrialState.WAITING for entry in self.entries for a in entry.attempts)

    def number_of(self, attempt: int) -> int:
        """The number of the trial that this attempt is one of."""
        return next(e.number for e in self.entries for a in e.attempts if a.number == attempt)

    def has_room(self) -> bool:
        """Whether one more trial would still count."""
        return len(self.entries) < self.plan.total

    def has_room_for(self, number: int) -> bool:
        """Whether the trial with this number counts: as many as the total do, those with the lowest numbers.

        Numbers are given one after another, so all workers that ask at the same time get the same answer.
        """
        return sum(entry.number < number for entry in self.entries) < self.plan.total

    def twin(self, settings: Settings, number: int) -> Trial | None:
        """An earlier trial with the same settings that has ended, and not because its workers died."""
        for entry in self.of("ended"):
            if entry.number != number and entry.kept() is not None:
                trial = entry.trial(self.plan)
                if trial.reused is None and settings_key(trial.settings) == settings_key(settings):
                    return trial
        return None


def first_number(trial: FrozenTrial) -> int:
    """The number of the first attempt at this trial."""
    return int(trial.system_attrs.get("failed_trial", trial.number))


def outcome_to_json(outcome: TrialResult) -> dict[str, Any]:
    """Plain values; JSON makes texts of the steps."""
    return asdict(outcome)


def outcome_from_json(content: Mapping[str, Any]) -> TrialResult:
    """The outcome that :func:`outcome_to_json` was given."""
    steps = {int(step): value for step, value in content["steps"].items()}
    return TrialResult(**{**content, "steps": steps})


def _settings(plan: SearchPlan, attempt: FrozenTrial) -> Settings:
    """Of an attempt that died before all was proposed: those that were."""
    try:
        return plan.space.suggest(attempt)
    except ValueError:
        return dict(attempt.params)
