"""What a search is to do, and the total that it comes to."""

from dataclasses import dataclass

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
    objectives: dict[str, str]  # figure -> minimize | maximize
    constraints: tuple[str, ...]  # "bytes <= 200000"
    seed: int
    max_failures: int  # the first trials in a row that may fail
    max_steps: int  # epochs of a trial, or folds

    @property
    def total(self) -> int:
        """Trials that the search ends with."""
        return min(self.trials, self.space.size()) if self.method == "grid" else self.trials
