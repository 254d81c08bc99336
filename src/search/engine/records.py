"""What a search proposes, and the results."""

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
    """Settings to try; ``number`` 0 is the first of the study."""

    number: int
    settings: Settings


@dataclass(frozen=True)
class TrialResult:
    """The result of a proposal: a function of the inputs, so it has no durations and no machine."""

    state: Literal["complete", "pruned", "failed"]
    metrics: dict[str, float] = field(default_factory=dict)  # val/… and model/… as in OBJECTIVES
    steps: dict[int, float] = field(default_factory=dict)  # objective reported at each epoch or fold, from 1
    epochs: int = 0  # trained, over all folds
    pruner_state: dict[str, float] = field(default_factory=dict)  # what a pruner remembers of the trial
    reason: str | None = None  # of pruned and failed


@dataclass(frozen=True)
class Trial:
    """A proposal with its result."""

    number: int
    settings: Settings
    outcome: TrialResult
    reused: int | None = None  # the trial with the same settings that has this result


def settings_key(settings: Settings) -> str:
    """A string that is equal for equal settings in any order."""
    return json.dumps(settings, sort_keys=True)


def trial_path(folder: Path, number: int) -> Path:
    """The file of a finished trial."""
    return folder / f"{number:05d}.json"


def write_trial(folder: Path, trial: Trial) -> None:
    """Store a finished trial; a kill leaves the whole file or none."""
    write_json(trial_path(folder, trial.number), asdict(trial))


def read_trial(path: Path) -> Trial:
    """The trial in a file of :func:`write_trial`.

    Raises:
        AssayError: The file is damaged.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        outcome = content.pop("outcome")
        steps = {int(step): value for step, value in outcome.pop("steps").items()}
        return Trial(outcome=TrialResult(steps=steps, **outcome), **content)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise AssayError(f"{path} is damaged ({error}). Delete it to run the trial again") from error


def read_trials(folder: Path) -> dict[int, Trial]:
    """All finished trials in a folder by number."""
    trials = [read_trial(path) for path in sorted(folder.glob("[0-9]*.json")) if path.stem.isdigit()]
    return {trial.number: trial for trial in trials}


def write_proposal(folder: Path, proposal: Proposal) -> None:
    """Store a proposal that is about to run, so that the same settings run again after a kill."""
    write_json(_proposal_path(folder, proposal.number), asdict(proposal))


def read_proposals(folder: Path, but: Collection[int]) -> list[Proposal]:
    """The stored proposals without the trials of these numbers.

    Raises:
        AssayError: A file is damaged.
    """
    numbers = [int(path.name.partition(".")[0]) for path in sorted(folder.glob("[0-9]*.begun.json"))]
    return [_read_proposal(_proposal_path(folder, number)) for number in numbers if number not in but]


def forget_proposal(folder: Path, number: int) -> None:
    """Remove a proposal whose trial has ended and has a file of its own."""
    _proposal_path(folder, number).unlink(missing_ok=True)


def _proposal_path(folder: Path, number: int) -> Path:
    return folder / f"{number:05d}.begun.json"


def _read_proposal(path: Path) -> Proposal:
    try:
        return Proposal(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise AssayError(
            f"{path} is damaged ({error}). Delete it to get another proposal in its place"
        ) from error
