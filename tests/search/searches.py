"""Plans and evaluators for the tests of a search: known functions in the place of trainings."""

import random
from collections.abc import Callable
from typing import Any

from src.search.engine.distributions import Interval
from src.search.engine.plan import Plan
from src.search.engine.pruning import PruningRule
from src.search.engine.records import Outcome, Proposal, Settings
from src.search.engine.space import Space

SQUARE = Space({"x": Interval(0.0, 1.0), "y": Interval(0.0, 1.0)})
Function = Callable[[Settings, PruningRule], Outcome]


def make_plan(space: Space = SQUARE, **changes: Any) -> Plan:
    """A small search for the largest val/accuracy."""
    fields: dict[str, Any] = {
        "name": "test",
        "method": "tpe",
        "space": space,
        "trials": 20,
        "batch": 4,
        "pruner": "none",
        "objectives": {"val/accuracy": "maximize"},
        "constraints": (),
        "seed": 0,
        "max_failures": 3,
        "max_steps": 1,
    }
    return Plan(**{**fields, **changes})


def hill(settings: Settings, rule: PruningRule) -> Outcome:
    """Highest, 1.0, at x = 0.3, y = 0.7; its "bytes" grow with x."""
    height = 1 - (settings["x"] - 0.3) ** 2 - (settings.get("y", 0.7) - 0.7) ** 2
    return complete(height, bytes=1000 * settings["x"])


def complete(accuracy: float, **figures: float) -> Outcome:
    """A trial of one epoch that ended well."""
    return Outcome(
        "complete", {"val/accuracy": accuracy, "val/loss": 1 - accuracy, **figures}, {1: accuracy}, 1
    )


def learning(curve: Callable[[Settings, int], float], epochs: int) -> Function:
    """A training whose accuracy after an epoch is ``curve(settings, epoch)``."""

    def train(settings: Settings, rule: PruningRule) -> Outcome:
        pruning = rule.begin()
        steps: dict[int, float] = {}
        for epoch in range(1, epochs + 1):
            steps[epoch] = curve(settings, epoch)
            if pruning.report(epoch, steps[epoch]):
                figures = {"val/accuracy": max(steps.values())}
                return Outcome("pruned", figures, steps, epoch, pruning.marks, f"pruned after epoch {epoch}")
        figures = {"val/accuracy": max(steps.values()), "val/loss": 1 - max(steps.values())}
        return Outcome("complete", figures, steps, epochs, pruning.marks)

    return train


class StoppedError(Exception):
    """The process is gone."""


class InProcess:
    """Evaluates a function in this process; ``shuffled`` delivers in random order.

    ``stop_after``: so many outcomes are delivered, then :class:`StoppedError` is raised.
    """

    def __init__(
        self, function: Function, shuffled: random.Random | None = None, stop_after: int | None = None
    ) -> None:
        self.function = function
        self.shuffled = shuffled
        self.left = stop_after
        self.submitted: list[Proposal] = []
        self._waiting: list[tuple[Proposal, PruningRule]] = []

    @property
    def waiting(self) -> int:
        """How many are under way."""
        return len(self._waiting)

    def submit(self, proposal: Proposal, rule: PruningRule) -> None:
        assert rule.number == proposal.number
        self.submitted.append(proposal)
        self._waiting.append((proposal, rule))

    def collect(self) -> tuple[int, Outcome]:
        if self.left is not None:
            if self.left == 0:
                raise StoppedError
            self.left -= 1
        place = self.shuffled.randrange(len(self._waiting)) if self.shuffled else 0
        proposal, rule = self._waiting.pop(place)
        return proposal.number, self.function(proposal.settings, rule)


def nobody(standing: object) -> None:
    """Hears nothing."""
