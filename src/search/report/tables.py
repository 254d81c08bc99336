"""What a search found, as tables: in files, with the same bytes for the same trials; and at the terminal."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from src.core.csv_files import write_csv
from src.search.engine.constraints import feasible, violated
from src.search.engine.plan import SearchPlan
from src.search.engine.ranking import ranked
from src.search.engine.records import Trial

STATES = ("complete", "pruned", "failed")
WIDEST = 24  # characters of a setting at the terminal
COLUMNS = 4  # fields up to which each has a column of its own
BAR = 32  # characters of the longest bar


def write_trials(
    path: Path, trials: Sequence[Trial], fields: Sequence[str], constraints: Sequence[str] = ()
) -> None:
    """One line per trial: its state, metrics and settings, and why it failed or was pruned.

    A field that does not exist for a trial is blank, and so is a metric that it did not reach.
    ``kept``: whether a complete trial satisfies the constraints.
    """
    metrics = list(dict.fromkeys(name for trial in trials for name in trial.outcome.metrics))
    header = ["number", "state", "reused", "epochs", *metrics, *fields, "kept", "reason"]
    write_csv(path, header, (_row(trial, metrics, fields, constraints) for trial in trials))


def write_importance(path: Path, shares: Mapping[str, float]) -> None:
    """field, importance: the share of a field in what makes a trial good; largest first."""
    write_csv(path, ["field", "importance"], _by_size(shares))


def best_table(trials: Sequence[Trial], plan: SearchPlan, n: int = 5) -> Table:
    """The ``n`` best trials, for a terminal of 100 columns.

    If there are fewer, trials that violate a constraint, were pruned or failed follow.
    """
    names = short_names(plan.space.domains)
    table = Table(title=_title(trials), title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("trial", justify="right")
    for name in plan.objectives:
        table.add_column(name, justify="right", no_wrap=True)
    _add_settings_columns(table, names)
    table.add_column("state")
    best = ranked(trials, plan)
    for trial in [*best, *_rest(trials, best)][:n]:
        metrics = (_metric(trial, name) for name in plan.objectives)
        cells = [
            str(trial.number),
            *metrics,
            *_settings(trial, names),
            _remark(trial, trials, plan.constraints),
        ]
        table.add_row(*map(escape, cells), style="bold" if best and trial is best[0] else None)
    return table


def importance_table(shares: Mapping[str, float]) -> Table:
    """A bar for each field."""
    table = Table(title="Importance", title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("field", no_wrap=True)
    table.add_column("share", justify="right")
    table.add_column("")
    longest = max(shares.values(), default=0) or 1.0
    for field, share in _by_size(shares):
        table.add_row(escape(field), f"{share:.3f}", "━" * round(BAR * max(share, 0) / longest))
    return table


def short_names(fields: Iterable[str]) -> dict[str, str]:
    """field -> its last parts, as few as tell it from the others: ``lr``, ``schedule.name``."""
    names = list(fields)
    return {name: _shortest_suffix(name, names) for name in names}


def format_value(value: Any, widest: int = WIDEST) -> str:
    """A setting for reading: four digits, no spaces in lists, the middle of a long one left out."""
    if isinstance(value, float):
        text = f"{value:.4g}"
    elif isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10_000:
        text = f"{value:,}"
    else:
        text = (
            value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        )
    return text if len(text) <= widest else f"{text[: widest // 2]}…{text[widest // 2 + 1 - widest :]}"


def format_metric(name: str, value: float) -> str:
    """Counts with separators, the rest with four decimals."""
    if name.startswith("model/"):
        return f"{value:,.0f}"
    return f"{value:.4f}" if math.isfinite(value) else "—"


def _row(
    trial: Trial, metrics: Sequence[str], fields: Sequence[str], constraints: Sequence[str]
) -> list[object]:
    outcome = trial.outcome
    kept = feasible(outcome.metrics, constraints) if outcome.state == "complete" else None
    return [
        trial.number,
        outcome.state,
        trial.reused,
        outcome.epochs,
        *(outcome.metrics.get(name) for name in metrics),
        *(trial.settings.get(field) for field in fields),
        kept,
        outcome.reason,
    ]


def _by_size(shares: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(shares.items(), key=lambda item: (-item[1], item[0]))


def _shortest_suffix(name: str, names: Sequence[str]) -> str:
    parts = name.split(".")
    for count in range(1, len(parts)):
        suffix = ".".join(parts[-count:])
        if sum(other == suffix or other.endswith(f".{suffix}") for other in names) == 1:
            return suffix
    return name


def _rest(trials: Sequence[Trial], best: Sequence[Trial]) -> list[Trial]:
    """Those not among the best and not reused: complete, then pruned, then failed."""
    shown = {trial.number for trial in best}
    rest = [trial for trial in trials if trial.number not in shown and trial.reused is None]
    return sorted(rest, key=lambda trial: (STATES.index(trial.outcome.state), trial.number))


def _metric(trial: Trial, name: str) -> str:
    metrics = trial.outcome.metrics
    return format_metric(name, metrics[name]) if name in metrics else "—"


def _title(trials: Sequence[Trial]) -> str:
    states = [trial.outcome.state for trial in trials]
    counts = ", ".join(f"{states.count(state)} {state}" for state in STATES if state in states)
    return f"{len(trials)} trial{'s' if len(trials) > 1 else ''}: {counts}" if trials else "No trials"


def _add_settings_columns(table: Table, names: Mapping[str, str]) -> None:
    if len(names) > COLUMNS:
        table.add_column("settings", overflow="fold")
        return
    for name in names.values():
        table.add_column(name, justify="right")


def _settings(trial: Trial, names: Mapping[str, str]) -> list[str]:
    """A cell for each of a few fields, or all in one; a field that does not exist is a dash, or left out."""
    shown = {field: format_value(trial.settings[field]) for field in names if field in trial.settings}
    if len(names) > COLUMNS:
        return ["  ".join(f"{names[field]}={value}" for field, value in shown.items())]
    return [shown.get(field, "—") for field in names]


def _remark(trial: Trial, trials: Sequence[Trial], constraints: Sequence[str]) -> str:
    """The state, with a short remark."""
    outcome = trial.outcome
    if outcome.state == "failed":
        return f"failed: {format_value(outcome.reason or 'no reason', 2 * WIDEST)}"
    if outcome.state == "complete" and not feasible(outcome.metrics, constraints):
        return f"breaks {', '.join(violated(outcome.metrics, constraints))}"
    users = [f"{other.number}" for other in trials if other.reused == trial.number]
    return f"{outcome.state}, reused as {', '.join(users)}" if users else outcome.state
