"""The decisions on registered models, written to the journal before any server is contacted.

``.assay/journal/registry.jsonl`` has a line for each decision, oldest first. Its ``kind`` is one of

- ``registration``: this file is a version of the model, with this model card;
- ``challenge``: this version is the policy's choice (or none is), and may become champion by the policy;
- ``ruling``: this version became champion or did not: by the rule, by a person, or by a rollback.

``.assay/journal/registry/`` has what a version was made from and the evidence by which it is judged, in
folders named by their content. A version is identified by its lineage and the SHA-256 of its file, because a
rebuilt store numbers versions again.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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

    @property
    def archived(self) -> tuple[str, str, str]:
        """The folders below journal/registry that belong to it."""
        return self.record, self.evidence, self.provenance


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


IMPORTED = "imported"  # key of a line whose decision others have made


def append_decisions(root: Path, *decisions: Decision) -> None:
    """Append decisions to the journal."""
    with _locked(root):
        _append(root, decisions)


def add_decisions(root: Path, found: Sequence[Decision]) -> None:
    """Append the decisions of others that the journal lacks."""
    with _locked(root):
        known = decisions(root)
        _append(root, [decision for decision in found if decision not in known], imported=True)


def decisions(root: Path, name: str | None = None, imported: bool = True) -> list[Decision]:
    """All decisions, or those on one registered model, oldest first. A last line cut short is left out.

    Args:
        root: The repository.
        name: Of the registered model.
        imported: With those that the records of others brought.
    """
    path = _decisions_file(root)
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.is_file() else []
    contents = [json.loads(line) for line in lines if line.endswith("\n")]
    found = [_read(content) for content in contents if imported or not content.get(IMPORTED)]
    ours = [decision for decision in found if name is None or decision.name == name]
    return sorted(ours, key=lambda decision: decision.time)  # those of others come when they are pulled


def is_imported(root: Path, name: str, identity: tuple[str, str]) -> bool:
    """Whether a version is known from the records of others only: it was not registered on this machine."""
    told, own = (
        {d.identity for d in decisions(root, name, imported) if isinstance(d, Registration)}
        for imported in (True, False)
    )
    return identity in told - own


def ruling_on(root: Path, challenge: Challenge, embedded: bool) -> Ruling | None:
    """The ruling on a challenge in the embedded registry or on a server; None if there is none yet."""
    answers = (d for d in decisions(root, challenge.name) if isinstance(d, Ruling))
    return next((r for r in answers if r.challenge == challenge.time and r.embedded == embedded), None)


def as_fields(decision: Decision) -> dict[str, Any]:
    """Its kind and its fields, as JSON has them."""
    kind = next(kind for kind, cls in KINDS.items() if isinstance(decision, cls))
    return {"kind": kind, **asdict(decision)}


def from_fields(content: dict[str, Any]) -> Decision:
    """The decision with these fields.

    Raises:
        KeyError, TypeError: This version knows no such kind or field.
    """
    return KINDS[content["kind"]](**{key: value for key, value in content.items() if key != "kind"})


def _read(line: dict[str, Any]) -> Decision:
    """A line of this repository's own journal; fields that older versions of Assay wrote are left out."""
    known = {"kind", *(field.name for field in fields(KINDS[line["kind"]]))}
    return from_fields({key: value for key, value in line.items() if key in known})


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    path = _decisions_file(root)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        yield


def _append(root: Path, made: Sequence[Decision], imported: bool = False) -> None:
    mark = {IMPORTED: True} if imported else {}
    lines = [json.dumps(as_fields(decision) | mark, sort_keys=True) + "\n" for decision in made]
    with _decisions_file(root).open("a", encoding="utf-8") as file:
        file.write("".join(lines))
        file.flush()
        os.fsync(file.fileno())


def _decisions_file(root: Path) -> Path:
    return journal_folder(root) / "registry.jsonl"
