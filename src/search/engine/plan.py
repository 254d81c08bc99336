"""What a search should do, apart from the training."""

from dataclasses import dataclass

from src.core.errors import AssayError
from src.search.engine.distributions import Categorical
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


def check_supported(plan: SearchPlan) -> None:
    """Refuse what the method cannot search and the schema cannot see.

    Raises:
        AssayError: Says what to change.
    """
    if not plan.space.domains:
        raise AssayError(
            "sweep.space is empty, so there is nothing to search. Add a field, or set sweep=none"
        )
    if plan.method == "grid":
        plan.space.size()
    if plan.method == "nsga2" and plan.batch < 2:
        raise AssayError(
            "sweep.batch must be at least 2 with sweep.method=nsga2, which crosses parents of a batch, "
            "but got 1"
        )
    choices = [name for name, domain in plan.space.domains.items() if isinstance(domain, Categorical)]
    if plan.method == "cmaes" and choices:
        raise AssayError(
            f"sweep.method=cmaes takes numbers only, but {', '.join(choices)} in sweep.space is a choice: "
            "write interval(…) or int(interval(…)), or use tpe, gp or random"
        )
