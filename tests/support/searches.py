"""Plans and runners for the tests of a search, with known functions instead of trainings."""

import random
from collections.abc import Callable
from typing import Any

from src.search.engine.distributions import Range
from src.search.engine.plan import SearchPlan
from src.search.engine.pruning import PrunerSpec
from src.search.engine.records import Proposal, Settings, TrialResult
from src.search.engine.space import SearchSpace

SQUARE = SearchSpace({"x": Range(0.0, 1.0), "y": Range(0.0, 1.0)})
Function = Callable[[Settings, PrunerSpec], TrialResult]


def make_plan(space: SearchSpace = SQUARE, **changes: Any) -> SearchPlan:
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
    return SearchPlan(**{**fields, **changes})


def hill(settings: Settings, pruner: PrunerSpec) -> TrialResult:
    """Highest, 1.0, at x = 0.3, y = 0.7; its model/bytes grow with x."""
    height = 1 - (settings["x"] - 0.3) ** 2 - (settings.get("y", 0.7) - 0.7) ** 2
    return complete(height, bytes=1000 * settings["x"])


def complete(accuracy: float, **sizes: float) -> TrialResult:
    """A trial of one epoch that ended well; ``sizes`` are those of the model, such as ``bytes``."""
    measured = {f"model/{name}": value for name, value in sizes.items()}
    return TrialResult(
        "complete", {"val/accuracy": accuracy, "val/loss": 1 - accuracy, **measured}, {1: accuracy}, 1
    )


def learning(curve: Callable[[Settings, int], float], epochs: int) -> Function:
    """A training whose accuracy after an epoch is ``curve(settings, epoch)``."""

    def train(settings: Settings, pruner: PrunerSpec) -> TrialResult:
        pruning = pruner.begin()
        steps: dict[int, float] = {}
        for epoch in range(1, epochs + 1):
            steps[epoch] = curve(settings, epoch)
            if pruning.report(epoch, steps[epoch]):
                metrics = {"val/accuracy": max(steps.values())}
                return TrialResult(
                    "pruned", metrics, steps, epoch, pruning.pruner_state, f"pruned after epoch {epoch}"
                )
        metrics = {"val/accuracy": max(steps.values()), "val/loss": 1 - max(steps.values())}
        return TrialResult("complete", metrics, steps, epochs, pruning.pruner_state)

    return train


class StoppedError(Exception):
    """The process is gone."""


class InProcess:
    """Runs a function as a trial in this process; ``shuffled`` delivers in random order.

    ``stop_after``: this many results are delivered, then :class:`StoppedError` is raised.
    """

    def __init__(
        self, function: Function, shuffled: random.Random | None = None, stop_after: int | None = None
    ) -> None:
        self.function = function
        self.shuffled = shuffled
        self.left = stop_after
        self.submitted: list[Proposal] = []
        self._waiting: list[tuple[Proposal, PrunerSpec]] = []

    @property
    def waiting(self) -> int:
        """How many are running."""
        return len(self._waiting)

    def submit(self, proposal: Proposal, pruner: PrunerSpec) -> None:
        assert pruner.number == proposal.number
        self.submitted.append(proposal)
        self._waiting.append((proposal, pruner))

    def collect(self) -> tuple[int, TrialResult]:
        if self.left is not None:
            if self.left == 0:
                raise StoppedError
            self.left -= 1
        place = self.shuffled.randrange(len(self._waiting)) if self.shuffled else 0
        proposal, pruner = self._waiting.pop(place)
        return proposal.number, self.function(proposal.settings, pruner)


def nobody(progress: object) -> None:
    """Hears nothing."""
