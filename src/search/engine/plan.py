"""What a search is to do, without the training."""

from dataclasses import dataclass

from src.search.engine.records import Settings
from src.search.engine.space import SearchSpace


@dataclass(frozen=True)
class SearchPlan:
    """A search, apart from the training."""

    name: str  # of the study; hyperband's brackets depend on it, so it is a function of the inputs
    method: str  # grid, random, tpe, gp, cmaes, nsga2
    space: SearchSpace
    trials: int  # in all; a grid ends with its last point
    batch: int  # proposed together
    pruner: str  # none, median, hyperband, successive_halving, wilcoxon
    objectives: dict[str, str]  # metric -> minimize | maximize
    constraints: tuple[str, ...]  # such as "model/bytes <= 200000"
    seed: int
    max_failures: int  # the search stops if this many first trials all fail
    max_steps: int  # epochs of a trial, or folds
    enqueue: tuple[Settings, ...] = ()  # tried first; fields that are missing are sampled

    @property
    def total(self) -> int:
        """How many trials the search has in the end."""
        return min(self.trials, self.space.size()) if self.method == "grid" else self.trials
