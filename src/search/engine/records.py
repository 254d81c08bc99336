"""What a search proposes, and what became of it."""

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from src.core.errors import AssayError
from src.core.files import write_json

Settings = dict[str, Any]  # field of the configuration (or group of conf/) -> value


@dataclass(frozen=True)
class Proposal:
    """Settings to be tried; ``number`` 0 is the first of the study."""

    number: int
    settings: Settings


@dataclass(frozen=True)
class TrialResult:
    """What came of a proposal: a function of the inputs, so with no time and no machine."""

    state: Literal["complete", "pruned", "failed"]
    metrics: dict[str, float] = field(default_factory=dict)  # val/accuracy, val/loss, parameters, macs, bytes
    steps: dict[int, float] = field(default_factory=dict)  # reported objective of each epoch, or fold; 1 …
    epochs: int = 0  # trained in all
    pruner_state: dict[str, float] = field(default_factory=dict)  # what a pruner remembers of the trial
    reason: str | None = None  # of pruned and failed


@dataclass(frozen=True)
class Trial:
    """A proposal with its outcome."""

    number: int
    settings: Settings
    outcome: TrialResult
    reused: int | None = None  # the trial with the same settings whose outcome this is


def settings_key(settings: Settings) -> str:
    """A text that is equal for equal settings, whatever the order of their fields."""
    return json.dumps(settings, sort_keys=True)


def trial_path(folder: Path, number: int) -> Path:
    """Where a finished trial is kept."""
    return folder / f"{number:05d}.json"


def write_trial(folder: Path, trial: Trial) -> None:
    """Keep a finished trial; a kill leaves all of the file or none of it."""
    write_json(trial_path(folder, trial.number), asdict(trial))


def read_trial(path: Path) -> Trial:
    """The trial in a file of :func:`write_trial`.

    Raises:
        AssayError: it holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        outcome = content.pop("outcome")
        steps = {int(step): value for step, value in outcome.pop("steps").items()}
        return Trial(outcome=TrialResult(steps=steps, **outcome), **content)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise AssayError(f"{path} is no finished trial ({error}). Delete it: the trial runs again") from error


def read_trials(folder: Path) -> dict[int, Trial]:
    """All finished trials of a folder by number."""
    trials = [read_trial(path) for path in sorted(folder.glob("[0-9]*.json")) if path.stem.isdigit()]
    return {trial.number: trial for trial in trials}


def write_proposal(folder: Path, proposal: Proposal) -> None:
    """Keep a proposal that is about to be tried, so that after a kill the same settings are tried again."""
    write_json(_proposal_path(folder, proposal.number), asdict(proposal))


def read_proposals(folder: Path, but: Collection[int]) -> list[Proposal]:
    """Those that were begun, but for the trials with these numbers.

    Raises:
        AssayError: a file holds something else.
    """
    numbers = [int(path.name.partition(".")[0]) for path in sorted(folder.glob("[0-9]*.begun.json"))]
    return [_read_proposal(_proposal_path(folder, number)) for number in numbers if number not in but]


def forget_proposal(folder: Path, number: int) -> None:
    """The trial has ended, and has a file of its own."""
    _proposal_path(folder, number).unlink(missing_ok=True)


def _proposal_path(folder: Path, number: int) -> Path:
    return folder / f"{number:05d}.begun.json"


def _read_proposal(path: Path) -> Proposal:
    try:
        return Proposal(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise AssayError(f"{path} is no proposal ({error}). Delete it: another takes its place") from error
