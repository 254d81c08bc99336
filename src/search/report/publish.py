"""What a search found, as a folder of tables and figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from rich.console import Console

from src.search.engine.plan import SearchPlan
from src.search.engine.ranking import best, importance
from src.search.engine.records import Settings, Trial
from src.search.report import tables
from src.search.report.front import draw_front
from src.search.report.history import draw_history
from src.search.report.parallel import draw_parallel
from src.search.report.slices import draw_slices

BEST, TRIALS, IMPORTANCE = "best.yaml", "trials.csv", "importance.csv"
WIDTH = 100  # columns of the tables at the terminal


@dataclass(frozen=True)
class SearchReport:
    """The best trial, how much each field mattered, and the figures."""

    plan: SearchPlan
    trials: Sequence[Trial]
    best: Trial
    importance: dict[str, float]
    figures: list[Path]

    @property
    def metrics(self) -> dict[str, float]:
        """How many trials and epochs there were, and the metrics of the best trial."""
        states = [trial.outcome.state for trial in self.trials]
        counts = {f"search/{state}": states.count(state) for state in ("complete", "pruned", "failed")}
        totals = {"search/trials": len(states), "search/epochs": self.epochs}
        return {**totals, **counts, **self.best.outcome.metrics}

    @property
    def epochs(self) -> int:
        """Trained in all."""
        return sum(trial.outcome.epochs for trial in self.trials if trial.reused is None)

    def sentence(self) -> str:
        """The result in one line."""
        return f"trial {self.best.number} of {len(self.trials)} is the best; {self.epochs} epochs"

    def print_tables(self) -> None:
        """Show the best trials and the importance of the fields at the terminal."""
        console = Console(width=WIDTH)
        console.print(tables.best_table(self.trials, self.plan))
        if self.importance:
            console.print(tables.importance_table(self.importance))


def write_report(folder: Path, plan: SearchPlan, trials: Sequence[Trial]) -> SearchReport:
    """Write everything into ``folder``; the same trials give the same bytes.

    Raises:
        AssayError: No complete trial satisfies the constraints.
    """
    found, shares = best(trials, plan.objectives, plan.constraints), importance(trials, plan)
    _write_best(folder, found.settings)
    tables.write_trials(folder / TRIALS, trials, list(plan.space.domains), plan.constraints)
    tables.write_importance(folder / IMPORTANCE, shares)
    figures = [
        draw_history(folder / "history.png", trials, plan),
        draw_parallel(folder / "parallel.png", trials, plan),
        draw_slices(folder / "slices.png", trials, plan),
    ]
    if len(plan.objectives) == 2:
        figures.append(draw_front(folder / "front.png", trials, plan))
    return SearchReport(plan, trials, found, shares, figures)


def write_empty_report(folder: Path) -> None:
    """The same tables where nothing was searched."""
    _write_best(folder, {})
    tables.write_trials(folder / TRIALS, [], [])
    tables.write_importance(folder / IMPORTANCE, {})


def _write_best(folder: Path, settings: Settings) -> None:
    text = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
    (folder / BEST).write_text(text, encoding="utf-8")
