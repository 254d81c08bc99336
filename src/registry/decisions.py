"""The decisions on registered models, written to the journal before any server is asked.

``.assay/journal/registry.jsonl`` has a line for each decision, oldest first. Its ``kind`` is one of

- ``registration``: this file is a version of the model, with this model card;
- ``challenge``: this version is the policy's choice (or none is), and may become champion by the rule;
- ``ruling``: this version became champion or did not: by the rule, by a person, or by a rollback.

``.assay/journal/registry/`` has what a version was made from and the evidence by which it is judged, in
folders named by their content. A version is identified by its lineage and the SHA-256 of its file, because a
rebuilt store numbers versions again.
"""

import json
import os
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from src.provenance.journal import journal_folder


def now() -> str:
    """The current time, ISO 8601 in UTC, precise enough to order decisions."""
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
    evidence: str = ""  # folder below journal/registry with what it is judged by; "": not stored
    provenance: str = ""  # folder below journal/registry with its statement and signature; "": not stored
    tags: dict[str, str] = field(default_factory=dict)  # metrics to sort by, and the commit
    card: str = ""  # the model card with its metadata
    time: str = field(default_factory=now)

    @property
    def identity(self) -> tuple[str, str]:
        return self.lineage, self.sha256


@dataclass(frozen=True)
class Challenge:
    """The policy chose this version; None: no variant meets the constraints, and all stays as it is."""

    name: str
    lineage: str | None
    sha256: str | None
    reason: str
    promote: str  # embedded | auto | never: where the rule may make it champion
    rule: dict[str, Any] | None = (
        None  # NonInferiorityRule against champions; None: made before there was one
    )
    base: str = ""  # how it did against the base
    time: str = field(default_factory=now)


@dataclass(frozen=True)
class Ruling:
    """Whether a version is champion from now on, and why."""

    name: str
    lineage: str
    sha256: str
    champion: bool
    reason: str
    by: str  # rule | person | rollback
    embedded: bool  # decided in the embedded registry, which has no effect on a team's server
    challenge: str | None = None  # time of the challenge that it answers
    time: str = field(default_factory=now)

    @property
    def since(self) -> str:
        """When it was decided: the challenge may have waited for MLflow to answer."""
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
    found = [_read(json.loads(line)) for line in lines if line.endswith("\n")]
    return [decision for decision in found if name is None or decision.name == name]


def ruling_on(root: Path, challenge: Challenge, embedded: bool) -> Ruling | None:
    """The ruling on a challenge in the embedded registry or on a server; None if there is none yet."""
    answers = (d for d in decisions(root, challenge.name) if isinstance(d, Ruling))
    return next((r for r in answers if r.challenge == challenge.time and r.embedded == embedded), None)


def _kind(decision: Decision) -> str:
    return next(kind for kind, cls in KINDS.items() if isinstance(decision, cls))


def _read(line: dict[str, Any]) -> Decision:
    """Fields that other versions of Assay wrote are left out."""
    cls = KINDS[line.pop("kind")]
    known = {field.name for field in fields(cls)}
    return cls(**{key: value for key, value in line.items() if key in known})


def _decisions_file(root: Path) -> Path:
    return journal_folder(root) / "registry.jsonl"
