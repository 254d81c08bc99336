"""What a search found, as a folder of tables and figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from src.search.engine.plan import SearchPlan
from src.search.engine.ranking import best, importance
from src.search.engine.records import Settings, Trial
from src.search.report import figures, tables

BEST, TRIALS, IMPORTANCE = "best.yaml", "trials.csv", "importance.csv"


@dataclass(frozen=True)
class SearchReport:
    """The best trial, how much each field mattered, and the pictures."""

    best: Trial
    importance: dict[str, float]
    pictures: list[Path]


def write_report(folder: Path, plan: SearchPlan, trials: Sequence[Trial]) -> SearchReport:
    """Write everything into ``folder``; the same trials give the same bytes.

    Raises:
        AssayError: no trial was completed within the constraints.
    """
    found, shares = best(trials, plan.objectives, plan.constraints), importance(trials, plan)
    _write_best(folder, found.settings)
    tables.write_trials(folder / TRIALS, trials, list(plan.space.domains), plan.constraints)
    tables.write_importance(folder / IMPORTANCE, shares)
    pictures = [
        figures.draw_history(folder / "history.png", trials, plan),
        figures.draw_parallel(folder / "parallel.png", trials, plan),
        figures.draw_slices(folder / "slices.png", trials, plan),
    ]
    if len(plan.objectives) == 2:
        pictures.append(figures.draw_front(folder / "front.png", trials, plan))
    return SearchReport(found, shares, pictures)


def publish_nothing(folder: Path) -> None:
    """The same tables where nothing was searched."""
    _write_best(folder, {})
    tables.write_trials(folder / TRIALS, [], [])
    tables.write_importance(folder / IMPORTANCE, {})


def _write_best(folder: Path, settings: Settings) -> None:
    text = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
    (folder / BEST).write_text(text, encoding="utf-8")
