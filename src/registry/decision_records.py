"""Decisions on registered models as records in git: ours for others, and theirs for our journal.

Each record names by their hashes the records that it speaks of: a registration the execution that made the
file, a challenge the registrations it chose from, a ruling its challenge and the registration.
"""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from src.core.errors import AssayError
from src.core.hashing import json_hash
from src.pipeline.paths import REGISTER
from src.pipeline.records import stage_in_git
from src.records.execution import metadata
from src.records.files import (
    DECISION,
    EXTENSION,
    FOLDER,
    FORMAT,
    STATEMENT,
    Record,
    read_records,
    write_record,
)
from src.records.locate import Locator
from src.registry.archive import ARCHIVE, find_archived, unpack
from src.registry.decisions import (
    Challenge,
    Decision,
    Registration,
    Ruling,
    add_decisions,
    as_fields,
    decisions,
    from_fields,
)
from src.tracking.circuit_breaker import warn
from src.tracking.imported_records import RecordImport, import_executions

SUBJECT = "model.onnx"
Published = list[tuple[Decision, Record]]


def publish_decisions(root: Path, workspace: Path, say: Callable[[str], None] = warn) -> None:
    """Write a record for each decision in the journal of ``root`` that has none in ``workspace``."""
    records = read_records(workspace)
    known = {json_hash(record.predicate["decision"]): record for record in records.decisions}
    published: Published = []
    written = []
    for decision in decisions(root):
        fields = as_fields(decision)
        record = known.get(json_hash(fields))
        if record is None:
            about = _spoken_of(decision, records.executions, published)
            record = write_record(workspace, _statement(decision, fields, about, published))
            written.append(record.path)
        published.append((decision, record))
    reason = stage_in_git(workspace, *written)
    if reason is not None:
        say(f"warning: {reason}")


def import_records(root: Path, workspace: Path) -> RecordImport:
    """Give the journal of ``root`` the executions and decisions that ``workspace`` has records of."""
    done = import_executions(root, workspace)
    found = []
    for record in done.records.decisions:
        try:
            found.append(from_fields(dict(record.predicate["decision"])))
        except (KeyError, TypeError) as error:
            done.refused.append(
                f"{FOLDER / record.name}: its decision cannot be read by this version: {error}"
            )
    add_decisions(root, found)
    _import_archives(root, workspace, done)
    return done


def _import_archives(root: Path, workspace: Path, done: RecordImport) -> None:
    """Import the evidence and rebuild inputs of versions, which the stage register has packed."""
    last = {d.identity: d for d in decisions(root) if isinstance(d, Registration)}
    wanted = {name for d in last.values() for name in d.archived if name and not find_archived(root, name)}
    packed = (REGISTER / ARCHIVE).as_posix()
    registers = [record for record in done.records.executions if packed in record.subjects]
    with tempfile.TemporaryDirectory() as scratch:
        locator = Locator(workspace, root, Path(scratch))
        for record in sorted(registers, key=lambda r: metadata(r)["finishedOn"], reverse=True):
            if not wanted:
                return
            try:
                archive = locator.find(record, packed)
            except AssayError as error:
                done.refused.append(f"{record.path}: {error}")
                continue
            if archive is None:
                done.missing.add(packed)
            else:
                wanted -= unpack(root, archive, wanted)


def _spoken_of(decision: Decision, executions: Sequence[Record], published: Published) -> list[Record]:
    if isinstance(decision, Registration):
        return [record for record in executions if _has_made(record, decision)][-1:]
    registered = _registrations(decision, published)
    if isinstance(decision, Challenge):
        return registered
    return [
        *registered,
        *(r for d, r in published if isinstance(d, Challenge) and d.time == decision.challenge),
    ]


def _registrations(decision: Challenge | Ruling, published: Published) -> list[Record]:
    """The last registration of the version; of all versions if none was chosen."""
    last = {d.identity: r for d, r in published if isinstance(d, Registration) and d.name == decision.name}
    if decision.lineage is None:
        return list(last.values())
    return [r for identity, r in last.items() if identity == (decision.lineage, decision.sha256)]


def _has_made(record: Record, registration: Registration) -> bool:
    hashes = {digest["sha256"] for digest in record.subjects.values()}
    return metadata(record)["invocationId"] == registration.lineage and registration.sha256 in hashes


def _statement(
    decision: Decision, fields: dict[str, Any], about: Sequence[Record], published: Published
) -> dict[str, Any]:
    return {
        "_type": STATEMENT,
        "subject": _subjects(decision, published),
        "predicateType": DECISION,
        "predicate": {
            "decision": fields,
            "about": [record.reference for record in about],
            EXTENSION: {"format": FORMAT},
        },
    }


def _subjects(decision: Decision, published: Published) -> list[dict[str, Any]]:
    """The model's file; all candidates if none was chosen."""
    if decision.sha256 is not None:
        return [{"name": SUBJECT, "digest": {"sha256": decision.sha256}}]
    candidates = {
        d.variant: d.sha256 for d, _ in published if isinstance(d, Registration) and d.name == decision.name
    }
    return [{"name": f"{v}/{SUBJECT}", "digest": {"sha256": sha256}} for v, sha256 in candidates.items()]
