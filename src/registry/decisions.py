"""What was decided on registered models, in the journal, before any server is asked.

``mlruns/journal/registry.jsonl`` has a line for each decision, oldest first. ``kind`` says which it is:

- ``registration``: this file is a version of the model, with these figures;
- ``challenge``: this version is the policy's choice (or none is), and may become champion by the rule;
- ``ruling``: this version became champion, or did not: by the rule, by hand, or by a rollback.

``mlruns/journal/registry/`` keeps by content what a version was made from, and the evidence that it is judged
by. A version is named by its lineage and the SHA-256 of its file, as numbers are given anew in a new view.
"""

import json
import os
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from src.provenance.journal import journal_folder


def moment() -> str:
    """The present moment, ISO 8601 in UTC; fine enough to put decisions in order."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


@dataclass(frozen=True)
class Registration:
    """This file, of this lineage, is a version of ``name``."""

    name: str  # of the registered model
    variant: str
    lineage: str  # of the stage that made the file
    sha256: str  # of the file
    experiment: str
    record: str  # folder below journal/registry with what the model was made from
    evidence: str = ""  # folder below journal/registry with what it is judged by; "": none was kept
    provenance: str = ""  # folder below journal/registry with its statement and signature; "": none was kept
    tags: dict[str, str] = field(default_factory=dict)  # figures
    description: str = ""  # the model card
    time: str = field(default_factory=moment)

    @property
    def identity(self) -> tuple[str, str]:
        return self.lineage, self.sha256


@dataclass(frozen=True)
class Challenge:
    """The policy has chosen this version; None: nothing keeps the budgets, and all stays as it is."""

    name: str
    lineage: str | None
    sha256: str | None
    reason: str
    level: float  # of the test against the champion
    promote: str  # embedded | auto | never: where the rule may make it champion
    time: str = field(default_factory=moment)


@dataclass(frozen=True)
class Ruling:
    """Whether a version is champion from now on, and why."""

    name: str
    lineage: str
    sha256: str
    champion: bool
    reason: str
    by: str  # rule | hand | rollback
    embedded: bool  # decided on the embedded registry; on a team's server nothing follows from that
    challenge: str | None = None  # time of the challenge that it answers
    time: str = field(default_factory=moment)

    @property
    def since(self) -> str:
        """When it was decided: a challenge may have waited for MLflow to answer."""
        return self.challenge or self.time


Decision = Registration | Challenge | Ruling
KINDS: dict[str, type[Decision]] = {
    "registration": Registration,
    "challenge": Challenge,
    "ruling": Ruling,
}


def append_decisions(root: Path, *decisions: Decision) -> None:
    """Append decisions to the journal."""
    path = _decisions_file(root)
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"kind": _kind(d), **asdict(d)}, sort_keys=True) + "\n" for d in decisions]
    with FileLock(f"{path}.lock"), path.open("a", encoding="utf-8") as file:
        file.write("".join(lines))
        file.flush()
        os.fsync(file.fileno())


def decisions(root: Path, name: str | None = None) -> list[Decision]:
    """All decisions, or those on one registered model, oldest first. A last line cut short is left out."""
    path = _decisions_file(root)
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.is_file() else []
    found = [d for line in lines if line.endswith("\n") for d in _read(json.loads(line))]
    return [decision for decision in found if name is None or decision.name == name]


def ruling_on(root: Path, challenge: Challenge, embedded: bool) -> Ruling | None:
    """What came of a challenge in the embedded registry, or on a server; None if that is not known yet."""
    answers = (d for d in decisions(root, challenge.name) if isinstance(d, Ruling))
    return next((r for r in answers if r.challenge == challenge.time and r.embedded == embedded), None)


def _kind(decision: Decision) -> str:
    return next(kind for kind, cls in KINDS.items() if isinstance(decision, cls))


def _read(line: dict[str, Any]) -> list[Decision]:
    kind = line.pop("kind", None)
    return [KINDS[kind](**line)] if kind else _read_first_form(line)


def _read_first_form(line: dict[str, Any]) -> list[Decision]:
    """A line of 0.1.0, which registered a file and moved an alias at once, without asking anybody."""
    alias = line.pop("alias")
    registration = Registration(**line)
    if alias != "champion":
        return [registration]
    name, (lineage, sha256), reason = registration.name, registration.identity, "register.alias was champion"
    ruling = Ruling(name, lineage, sha256, True, reason, "rule", embedded=True, time=registration.time)
    return [registration, ruling]


def _decisions_file(root: Path) -> Path:
    return journal_folder(root) / "registry.jsonl"
